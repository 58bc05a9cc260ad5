# SPDX-License-Identifier: Apache-2.0
"""Golden model of Thresholding: how many thresholds of its channel a number reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def threshold(x: IntArray, thresholds: IntArray, first: int) -> IntArray:
    """Return ``first`` + the number of thresholds (C, n) reached (``>=``) by x (..., C)."""
    y = np.full(x.shape, first, dtype=np.int64)
    for column in thresholds.T:
        y += x >= column
    return y


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x (..., C) and thresholds (C, n) or (1, n).

    Raises:
        ValueError: the output type is BIPOLAR: 1-bit tensors are BINARY here.
    """
    if attrs["outputDataType"] == "BIPOLAR":
        raise ValueError("Thresholding: found outputDataType BIPOLAR, expected BINARY")
    return [threshold(inputs[0], inputs[1], attrs["ActVal"])]

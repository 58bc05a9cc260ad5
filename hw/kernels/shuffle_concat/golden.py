# SPDX-License-Identifier: Apache-2.0
"""Golden of ShuffleConcat: concatenation and channel shuffle of two groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def shuffle_concat(left: IntArray, right: IntArray) -> IntArray:
    """Join two (..., C) to (..., 2C): y[2j] = left[j], y[2j+1] = right[j]."""
    return np.stack([left, right], axis=-1).reshape(*left.shape[:-1], -1)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """ShuffleConcat."""
    return [shuffle_concat(inputs[0], inputs[1])]

# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamingConcat: the channels of several streams behind one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def concat(parts: Sequence[IntArray]) -> IntArray:
    """Join parts (..., C_i), alike but for their channels, to (..., sum of C_i)."""
    return np.concatenate(parts, axis=-1)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamingConcat."""
    return [concat(inputs)]

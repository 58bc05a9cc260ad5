# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamReflectPad: a picture with borders that mirror it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def reflect_pad(x: IntArray, borders: Sequence[int]) -> IntArray:
    """Put borders [top, left, bottom, right] around x (N, H, W, C), mirrored at the outermost
    pixels, which are not repeated: -1 is 1, H is H - 2."""
    top, left, bottom, right = borders
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), mode="reflect")


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamReflectPad."""
    return [reflect_pad(inputs[0], attrs["Padding"])]

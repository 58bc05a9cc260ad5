# SPDX-License-Identifier: Apache-2.0
"""Golden of PixelInterleave: four channel groups of a pixel become a square of 2x2 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def interleave(x: IntArray) -> IntArray:
    """Turn x (N, H, W, 4*C) into y (N, 2*H, 2*W, C).

    y[2*i + dy, 2*j + dx, c] = x[i, j, (2*dy + dx)*C + c].
    """
    batch, height, width, groups = x.shape
    square = x.reshape(batch, height, width, 2, 2, groups // 4)
    return square.swapaxes(2, 3).reshape(batch, 2 * height, 2 * width, groups // 4)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """PixelInterleave."""
    return [interleave(inputs[0])]

# SPDX-License-Identifier: Apache-2.0
"""Golden model of ImageConv: a convolution of a picture with a border of zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def image_conv(
    x: IntArray, w: IntArray, kernel: int, stride: int, border: Sequence[int]
) -> IntArray:
    """Return the sums of products of a picture's windows.

    Args:
        x: (1, H, W, C) pixels.
        w: (kernel*kernel*C, MH) weights, rows in the order row, column, channel of a window.
        kernel: rows and columns of a window.
        stride: pixels from window to window.
        border: top, left, bottom, right.

    Returns:
        (1, Ho, Wo, MH) exact sums.
    """
    top, left, bottom, right = border
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    height, width = ((size - kernel) // stride + 1 for size in padded.shape[1:3])
    sums = np.zeros((x.shape[0], height, width, w.shape[1]), dtype=np.int64)
    weights = w.reshape(kernel, kernel, x.shape[3], -1)
    for row, column in np.ndindex(kernel, kernel):
        seen = padded[:, row::stride, column::stride][:, :height, :width]
        sums += seen @ weights[row, column]
    return sums


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x, W."""
    x, w = inputs
    return [image_conv(x, w, attrs["Kernel"], attrs["Stride"], attrs["Padding"])]

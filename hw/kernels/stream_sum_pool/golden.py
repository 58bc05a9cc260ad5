# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamSumPool: sum under a sliding window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def sum_pool(
    x: IntArray, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> IntArray:
    """Pool x (N, H, W, C) to (N, Ho, Wo, C).

    Args:
        x: the picture.
        kernel: window height and width.
        stride: steps down and right.
        padding: border rows and columns [top, left, bottom, right], which hold 0.
    """
    top, left, bottom, right = padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))
    return windows[:, :: stride[0], :: stride[1]].sum(axis=(-2, -1))


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamSumPool."""
    return [sum_pool(inputs[0], attrs["KernelDim"], attrs["Stride"], attrs["Padding"])]

# SPDX-License-Identifier: Apache-2.0
"""Golden model of KbitBlock: border, window, product with +-1, steps at thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def accumulators(
    x: IntArray,
    weights: IntArray,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
) -> IntArray:
    """Return the sums of +-code, (1, Ho, Wo, MH).

    Args:
        x: (1, H, W, C) codes 0..2**k-1.
        weights: (MW, MH) bits, 0 meaning -1; MW = Ky * Kx * C in that order.
        kernel: rows and columns of a window.
        stride: steps down and right.
        padding: border rows and columns [top, left, bottom, right] of code 0.
    """
    top, left, bottom, right = padding
    codes = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(codes, kernel, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
    return view.reshape(*view.shape[:3], -1) @ (2 * weights - 1)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x, weights, thresholds (MH, n), steps (MH, n), base (MH,)."""
    x, weights, thresholds, steps, base = inputs
    acc = accumulators(x, weights, attrs["KernelDim"], attrs["Stride"], attrs["Padding"])
    return [base + ((acc[..., None] >= thresholds) * steps).sum(axis=-1)]

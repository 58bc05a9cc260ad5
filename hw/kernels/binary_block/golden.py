# SPDX-License-Identifier: Apache-2.0
"""Golden model of BinaryBlock: threshold, border, window, product of +-1, epilogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import EpilogueFormat, IntArray, epilogue


def accumulators(
    x: IntArray,
    thresholds: IntArray,
    weights: IntArray,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
) -> IntArray:
    """Return the sums of products of +-1, (1, Ho, Wo, MH).

    Args:
        x: (1, H, W, C) codes.
        thresholds: (C, 1); bit = x >= threshold.
        weights: (MW, MH) bits, MW = Ky * Kx * C in that order.
        kernel: rows and columns of a window.
        stride: steps down and right.
        padding: border rows and columns [top, left, bottom, right] of bits 0.
    """
    top, left, bottom, right = padding
    bits = np.pad(x >= thresholds[:, 0], ((0, 0), (top, bottom), (left, right), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(bits, kernel, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
    signs = 2 * view.reshape(*view.shape[:3], -1).astype(np.int64) - 1
    return signs @ (2 * weights - 1)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x[, shortcut], thresholds, weights, params (5, MH)."""
    x, *stream, thresholds, weights, params = inputs
    acc = accumulators(
        x, thresholds, weights, attrs["KernelDim"], attrs["Stride"], attrs["Padding"]
    )
    shortcut = {"none": None, "own": x, "stream": stream[0] if stream else None}
    fmt = EpilogueFormat(
        acc_shift=0,
        shortcut_shift=attrs["shortcutShift"],
        pre_shift=attrs["preShift"],
        slope_shift=attrs["slopeShift"],
        out_shift=attrs["outShift"],
        acc_bits=32,
        pre_bits=attrs["preBits"],
        out_bits=int(attrs["outputDataType"].removeprefix("INT")),
    )
    return [epilogue(acc, params, fmt, shortcut[attrs["shortcut"]])]

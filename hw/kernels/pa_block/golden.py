# SPDX-License-Identifier: Apache-2.0
"""Golden model of PaBlock: level codes, border, window, product of levels, rounding shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray, requantise, type_format


def codes(x: IntArray, thresholds: IntArray, steps: IntArray, base: IntArray) -> IntArray:
    """Return base + sum of steps where x >= threshold.

    Args:
        x: (.., C) integers.
        thresholds: (C, n).
        steps: (C, n) of -1 and +1.
        base: (C,).
    """
    return base + ((x[..., None] >= thresholds) * steps).sum(axis=-1)


def sums(
    code: IntArray,
    weights: IntArray,
    alpha: IntArray,
    beta: IntArray,
    zero: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
) -> IntArray:
    """Return the sums of products of levels, (1, Ho, Wo, MH).

    Args:
        code: (1, H, W, C) codes; code j stands for ``beta[j]``.
        weights: (MW, MH) codes, MW = Ky * Kx * C in that order; c stands for ``alpha[c + zero]``.
        alpha: levels of the weights.
        beta: levels of the inputs, ``beta[0]`` 0.
        zero: index of the weight level 0.
        kernel: rows and columns of a window.
        stride: steps down and right.
        padding: border rows and columns [top, left, bottom, right] of code 0.
    """
    top, left, bottom, right = padding
    levels = np.pad(beta[code], ((0, 0), (top, bottom), (left, right), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(levels, kernel, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
    # Float64 products are exact here, and much faster than those of integers.
    exact = view.reshape(*view.shape[:3], -1).astype(np.float64) @ alpha[weights + zero]
    return exact.astype(np.int64)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x[, shortcut], thresholds, steps, base, weights, alpha, beta."""
    x, *stream, thresholds, steps, base, weights, alpha, beta = inputs
    total = sums(
        codes(x, thresholds, steps, base),
        weights,
        alpha,
        beta,
        attrs["zero"],
        attrs["KernelDim"],
        attrs["Stride"],
        attrs["Padding"],
    )
    shortcut = {"none": None, "own": x, "stream": stream[0] if stream else None}
    added = shortcut[attrs["shortcut"]]
    if added is not None:
        total = total + (added << attrs["shortcutShift"])
    bits, signed = type_format(attrs["outputDataType"])
    return [requantise(total, attrs["shift"], bits, signed)]

# SPDX-License-Identifier: Apache-2.0
"""The weights of ImageConv in the order in which its cascades take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ....quant.grid import IntArray
from ..base import pack_lanes


def borrows_from_least(weights: npt.ArrayLike, least: float) -> bool:
    """Whether an output has the least weight where the output before it has a negative one: less
    1, as the upper one of a pair, it would not fit. Which outputs are pairs depends on PE."""
    w = np.asarray(weights)
    return bool(np.any((w[:, 1:] <= least) & (w[:, :-1] < 0)))


def cascade_rows(
    weights: IntArray,
    kernel: int,
    channels: int,
    simd: int,
    pe: int,
    *,
    columns: int,
    bits: int,
    paired: bool,
) -> list[list[int]]:
    """Return the weights of each row of a cascade: a word of PE of them for every step of a window.

    Args:
        weights: (kernel*kernel*channels, MH) in the order row, column, channel of a window.
        kernel: rows and columns of a window.
        channels: elements of a pixel.
        simd: rows of a cascade.
        pe: outputs computed in parallel.
        columns: columns read at once; weights of 0 fill up the last ones of a window.
        bits: width of a weight.
        paired: odd outputs' weights are less by 1 where the even one's below is negative.
    """
    outputs = weights.shape[1]
    # row, column, channel, output -> column, row, channel, output
    by_column = weights.reshape(kernel, kernel, channels, outputs).transpose(1, 0, 2, 3)
    whole = np.pad(by_column, ((0, -kernel % columns), (0, 0), (0, 0), (0, 0)))
    # -> pass, step, row of the cascade, PE
    folded = whole.reshape(-1, simd, outputs // pe, pe).transpose(2, 0, 1, 3).copy()
    if paired:
        folded[..., 1::2] -= folded[..., : pe // 2 * 2 : 2] < 0
    return [pack_lanes(folded[:, :, r].reshape(-1, pe), bits) for r in range(simd)]


def joined(words: Sequence[int], bits: int) -> int:
    """Return words of ``bits`` bits as one number, the first lowest."""
    return sum(int(word) << (i * bits) for i, word in enumerate(words))

# SPDX-License-Identifier: Apache-2.0
"""Codes that step at thresholds as a product, a sum and a shift, wherever these give the same.

Of an input x in low..high a channel's code is ``clamp((x * m + b) >> s, first, last)``. For one m
that holds exactly if b lies between bounds that the thresholds give; how far these are apart is a
concave function of m, so its largest value decides whether there is any m. What a shift gives, the
next one gives with everything twice as large: there is a smallest one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .grid import IntArray, signed_bits

BoolArray = npt.NDArray[np.bool_]

MOST_SHIFT = 46
"""Shifts that are tried."""
MOST_INPUT_BITS = 25
"""Bits of an input, signed: those of the longer factor of a DSP block."""
MOST_FACTOR_BITS = 35
"""Bits of a factor: two of the shorter ones, whose lower one has no sign."""
SEARCHED_BITS = 37
"""Bits of factors among which is searched: products with inputs and what is added stay in 64."""
MOST_SUMMAND_BITS = 52
"""Bits of a summand."""
NEVER = 1 << 40
"""A threshold that no input reaches."""


class Affine(NamedTuple):
    """Factor and summand of every channel, the shift, and the codes at both ends."""

    factors: IntArray
    summands: IntArray
    shift: int
    first: int
    last: int

    def codes(self, x: IntArray) -> IntArray:
        """Codes of inputs (..., C)."""
        found: IntArray = (x * self.factors + self.summands) >> self.shift
        return found.clip(self.first, self.last)


def affine_of(
    thresholds: IntArray, steps: IntArray, base: IntArray, low: int, high: int
) -> Affine | None:
    """Return the constants with the smallest shift that give the same codes for every input.

    Args:
        thresholds: (C, n) integers, in any order.
        steps: (C, n) of -1 and +1, taken by inputs that reach the threshold.
        base: (C,) the code below every threshold.
        low: smallest input.
        high: largest input.

    Returns:
        None where there are none within `MOST_SHIFT` and `MOST_FACTOR_BITS`, or where a channel's
        codes rise and fall.
    """
    if not -(1 << MOST_INPUT_BITS - 1) <= low <= high < 1 << MOST_INPUT_BITS - 1:
        return None
    inside = (thresholds > low) & (thresholds <= high)
    falls, rises = (np.any(inside & way, axis=1) for way in (steps < 0, steps > 0))
    if np.any(falls & rises):
        return None
    start = base + np.where(thresholds <= low, steps, 0).sum(axis=1)
    count = inside.sum(axis=1)
    end = start + np.where(falls, -count, count)
    first, last = int(np.minimum(start, end).min()), int(np.maximum(start, end).max())
    # What falls rises with -x: x >= t is -x < 1 - t.
    seen = np.where(inside, np.where(falls[:, None], 1 - thresholds, thresholds), NEVER)
    parts = [
        (chosen, _corners(np.sort(seen[chosen], axis=1), lowest[chosen], ends, (first, last)))
        for chosen, lowest, ends in (
            (~falls & (count > 0), start, (low, high)),
            (falls, end, (-high, -low)),
        )
        if chosen.any()
    ]

    shift = max((_smallest(*corners) for _, corners in parts), default=0)
    if shift > MOST_SHIFT:
        return None
    factors, summands = np.zeros_like(base), start << shift
    for chosen, corners in parts:
        factors[chosen], summands[chosen], _ = _solve(*corners, np.full(chosen.sum(), shift))
    affine = Affine(np.where(falls, -factors, factors), summands, shift, first, last)
    if signed_bits(int(np.abs(affine.factors).max())) > MOST_FACTOR_BITS:
        return None
    if signed_bits(int(np.abs(affine.summands).max())) > MOST_SUMMAND_BITS:
        return None
    return affine if equal(affine, thresholds, steps, base, low, high) else None


def equal(
    affine: Affine, thresholds: IntArray, steps: IntArray, base: IntArray, low: int, high: int
) -> bool:
    """Whether the constants give the same codes for every input in low..high.

    Codes change at thresholds alone, and products with a factor only rise or only fall: the
    inputs on both sides of every threshold decide.
    """
    ends = np.broadcast_to(np.array([[low, high]]), (len(base), 2))
    seen = np.concatenate([thresholds - 1, thresholds, ends], axis=1).clip(low, high)
    order = np.argsort(thresholds, axis=1, kind="stable")
    ascending = np.take_along_axis(thresholds, order, 1)
    sums = np.pad(np.take_along_axis(steps, order, 1).cumsum(axis=1), ((0, 0), (1, 0)))
    codes = [
        first + row[np.searchsorted(at, x, side="right")]
        for first, row, at, x in zip(base, sums, ascending, seen, strict=True)
    ]
    return np.array_equal(affine.codes(seen.T), np.array(codes).T)


def _corners(
    thresholds: IntArray, start: IntArray, ends: tuple[int, int], codes: tuple[int, int]
) -> tuple[IntArray, IntArray]:
    """Return (C, n, 2) pairs (code, x), twice: with the former ``x * m + b`` has to be
    ``code << s`` or more, with the latter less.

    Args:
        thresholds: (C, n) ascending, `NEVER` behind the last of a channel, which has one at least.
        start: (C,) the code in front of them.
        ends: smallest and largest input.
        codes: the first and the last code of all channels, to which others are clamped.
    """
    ahead = start[:, None] + 1 + np.arange(thresholds.shape[1])
    there = thresholds < NEVER
    end = start + there.sum(axis=1)
    return (
        _pairs(ahead, thresholds, there, (start, ends[0], start > codes[0])),
        _pairs(ahead, thresholds - 1, there, (end + 1, ends[1], end < codes[1])),
    )


def _pairs(
    codes: IntArray, at: IntArray, there: BoolArray, end: tuple[IntArray, int, BoolArray]
) -> IntArray:
    """Put the pairs of thresholds and of an end together; the first one in place of those that are
    not there."""
    code, x, needed = end
    last = np.stack([code, np.full_like(code, x)], axis=1)[:, None]
    found = np.concatenate([np.stack([codes, at], axis=2), last], axis=1)
    there = np.concatenate([there, needed[:, None]], axis=1)
    return np.where(there[:, :, None], found, found[:, :1])


def _smallest(least: IntArray, most: IntArray) -> int:
    """Return the smallest shift that every channel has constants for, more than `MOST_SHIFT` where
    there is none."""
    below = np.zeros(len(least), dtype=np.int64)
    # A factor is about 2**shift for the inputs between two steps.
    codes, inputs = (np.ptp(least[..., i], axis=1).clip(min=1) for i in (0, 1))
    above = SEARCHED_BITS - 2 + np.floor(np.log2(inputs / codes)).astype(np.int64)
    above = above.clip(max=MOST_SHIFT)
    if not _solve(least, most, above)[2].all():
        return MOST_SHIFT + 1
    while (below < above).any():
        middle = (below + above) // 2
        solved = _solve(least, most, middle)[2]
        below, above = np.where(solved, below, middle + 1), np.where(solved, middle, above)
    return int(below.max())


def _solve(
    least: IntArray, most: IntArray, shifts: IntArray
) -> tuple[IntArray, IntArray, BoolArray]:
    """Return the smallest factors (C,) for these shifts, summands, and which are any good."""
    low_codes, high_codes = (pairs[..., 0] << shifts[:, None] for pairs in (least, most))

    def bounds(m: IntArray) -> tuple[IntArray, IntArray]:
        low = (low_codes - least[..., 1] * m[:, None]).max(axis=1)
        high = (high_codes - 1 - most[..., 1] * m[:, None]).min(axis=1)
        return low, high

    def room(m: IntArray) -> IntArray:
        low, high = bounds(m)
        return high - low

    # The first m behind which there is no more room: room is concave in m.
    below, above = (np.full(len(least), m, dtype=np.int64) for m in (0, 1 << SEARCHED_BITS))
    while (below < above).any():
        middle = (below + above) // 2
        grows = room(middle + 1) > room(middle)
        below, above = np.where(grows, middle + 1, below), np.where(grows, above, middle)
    peak = below
    below, above = np.zeros_like(peak), peak
    while (below < above).any():
        middle = (below + above) // 2
        enough = room(middle) >= 0
        below, above = np.where(enough, below, middle + 1), np.where(enough, middle, above)
    low, high = bounds(below)
    return below, low, low <= high

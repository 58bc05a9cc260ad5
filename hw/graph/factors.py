# SPDX-License-Identifier: Apache-2.0
"""Small integers in place of scales: exactly, or so near that a quantiser cannot tell.

A sum of codes times scales is read by a quantiser. Integers in place of the scales give the same
codes if they put all tuples of codes below each border in front of all tuples above it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ...quant.grid import IntArray

MAX_FACTOR = (1 << 16) - 1
"""Largest factor."""
MAX_TUPLES = 1 << 18
"""Most tuples of codes that are looked at."""
TRIED = 128
"""Largest factors that are tried of three terms or more, one after the other; beyond that powers
of two."""
PIECE = 1 << 22
"""Numbers that are held at once."""


def common_step(scales: Sequence[Fraction]) -> tuple[list[int], Fraction]:
    """Return how many of their largest common step scales are, and that step."""
    below = math.lcm(*(s.denominator for s in scales))
    counts = [int(s * below) for s in scales]
    most = math.gcd(*counts)
    return [n // most for n in counts], Fraction(most, below)


def near_factors(codes: IntArray, scales: Sequence[Fraction]) -> list[int] | None:
    """Return small integers in place of the scales, or None if none of 16 bits serve.

    Of two terms they are the smallest that serve.

    Args:
        codes: (C, n_0, n_1, ..) the quantiser's codes, of each channel, for all tuples of codes of
            the terms; rising along every axis.
        scales: of the terms.
    """
    sizes = codes.shape[1:]
    stairs = _stairs(codes)
    if len(scales) == 2:
        found = _simplest(*_ratios(stairs, sizes[-1]))
        if found is None or max(found.as_integer_ratio()) > MAX_FACTOR:
            return None
        factors = list(found.as_integer_ratio())
        return factors if _separates(stairs, sizes, factors) else None
    top = max(scales)
    powers = [1 << b for b in range(TRIED.bit_length(), MAX_FACTOR.bit_length())]
    for most in (*range(1, TRIED + 1), *powers, MAX_FACTOR):
        factors = [max(1, round(most * s / top)) for s in scales]
        if _separates(stairs, sizes, factors):
            return factors
    return None


def _stairs(codes: IntArray) -> IntArray:
    """Return (borders, n_0, .., n_k-1): of the codes of all terms but the last one, the code of the
    last one from which a tuple lies above the border; every border once."""
    found: dict[bytes, IntArray] = {}
    for channel in codes:
        for level in np.unique(channel)[1:]:
            first = (channel < level).sum(axis=-1, dtype=np.int32)
            found.setdefault(first.tobytes(), first)
    return np.stack(list(found.values())) if found else np.zeros((0, *codes.shape[1:-1]), np.int32)


def _ratios(stairs: IntArray, size: int) -> tuple[Fraction, Fraction | None]:
    """Return the open interval of the first factor divided by the second one, whose term has
    ``size`` codes."""
    below, above = stairs > 0, stairs < size
    low, high = Fraction(0), None
    for distance in range(1, stairs.shape[1]):
        fall = stairs[:, :-distance] - stairs[:, distance:]
        less = fall[above[:, :-distance] & below[:, distance:]]
        more = fall[below[:, :-distance] & above[:, distance:]]
        if less.size:
            bound = Fraction(int(less.min()) + 1, distance)
            high = bound if high is None else min(high, bound)
        if more.size:
            low = max(low, Fraction(int(more.max()) - 1, distance))
    return low, high


def _simplest(low: Fraction, high: Fraction | None) -> Fraction | None:
    """Return the fraction of the smallest numerator and denominator between two, or None."""
    if high is not None and low >= high:
        return None
    whole = math.floor(low) + 1
    if high is None or whole < high:
        return Fraction(whole)
    rest = _simplest(1 / (high - (whole - 1)), 1 / (low - (whole - 1)) if low > whole - 1 else None)
    return None if rest is None else whole - 1 + 1 / rest


def _separates(stairs: IntArray, sizes: Sequence[int], factors: Sequence[int]) -> bool:
    """Whether all tuples below a border have smaller sums than those above it."""
    *others, last = factors
    base = np.zeros((1,) * len(others), dtype=np.int64)
    for axis, (size, factor) in enumerate(zip(sizes[:-1], others, strict=True)):
        shape = [-1 if i == axis else 1 for i in range(len(others))]
        base = base + (np.arange(size) * factor).reshape(shape)
    end = int(base.max()) + last * sizes[-1]
    step = max(1, PIECE // base.size)
    for start in range(0, len(stairs), step):
        first = stairs[start : start + step].astype(np.int64)
        axes = tuple(range(1, first.ndim))
        least = np.where(first < sizes[-1], base + first * last, end).min(axis=axes)
        most = np.where(first > 0, base + (first - 1) * last, -1).max(axis=axes)
        if not (most < least).all():
            return False
    return True

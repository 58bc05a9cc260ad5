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
import numpy.typing as npt

from ...quant.grid import IntArray

MAX_FACTOR = (1 << 16) - 1
"""Largest factor."""
MAX_TUPLES = 1 << 16
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
    borders = _borders(codes)
    if len(scales) == 2:
        low, high = _ratios(borders)
        found = _simplest(low, high)
        factors = [found.numerator, found.denominator] if found is not None else []
        served = factors and max(factors) <= MAX_FACTOR and _separates(borders, factors)
        return factors if served else None
    top = max(scales)
    powers = [1 << b for b in range(TRIED.bit_length(), MAX_FACTOR.bit_length())]
    for most in (*range(1, TRIED + 1), *powers, MAX_FACTOR):
        factors = [max(1, round(most * s / top)) for s in scales]
        if _separates(borders, factors):
            return factors
    return None


def _borders(codes: IntArray) -> npt.NDArray[np.bool_]:
    """Return (borders, n_0, n_1, ..): whether a tuple lies above, of each border once."""
    shape = codes.shape[1:]
    found: dict[bytes, npt.NDArray[np.bool_]] = {}
    for channel in codes:
        for level in np.unique(channel)[1:]:
            above = channel >= level
            found.setdefault(np.packbits(above).tobytes(), above)
    return np.stack(list(found.values())) if found else np.zeros((0, *shape), dtype=bool)


def _ratios(borders: npt.NDArray[np.bool_]) -> tuple[Fraction, Fraction | None]:
    """Return the open interval of the first factor divided by the second one."""
    rows = borders.shape[2]
    # Of each code of the first term, the code of the second one from which a tuple lies above.
    first = rows - borders.sum(axis=2)
    below, above = first > 0, first < rows
    low, high = Fraction(0), None
    for distance in range(1, first.shape[1]):
        fall = first[:, :-distance] - first[:, distance:]
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


def _separates(borders: npt.NDArray[np.bool_], factors: Sequence[int]) -> bool:
    """Whether all tuples below a border have smaller sums than those above it."""
    count = len(factors)
    total = np.zeros((1,) * count, dtype=np.int64)
    for axis, (size, factor) in enumerate(zip(borders.shape[1:], factors, strict=True)):
        shape = [-1 if i == axis else 1 for i in range(count)]
        total = total + (np.arange(size) * factor).reshape(shape)
    step = max(1, PIECE // total.size)
    for start in range(0, len(borders), step):
        above = borders[start : start + step]
        axes = tuple(range(1, count + 1))
        least = np.where(above, total, total.max() + 1).min(axis=axes)
        most = np.where(above, -1, total).max(axis=axes)
        if not (most < least).all():
            return False
    return True

# SPDX-License-Identifier: Apache-2.0
"""Integers in place of the factors and offsets of logits, which pick the same class of all integers
that a product can give.

Of labels i < j with values x and y, i is in front where ``f_i x + o_i >= f_j y + o_j``. Integers m
and b serve if they put every pair of labels in the same order at every pair of values. For a fixed
x that is a border of y, a line over x: two lines say the same of all integers if as many points lie
below each of them, piece by piece between their crossings. Points below a line are counted by
Euclid's algorithm, so no value is looked at on its own (Graham, Knuth, Patashnik, "Concrete
Mathematics", section 3.5, sums of floors).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ...quant.digits import FACTOR_BITS, SCORE_BITS

TRIED = (8, 17, 25, 34, 42, 51, 60)
"""Bits of the largest factor that are tried, fewest first: a digit of 17 bits is a DSP block."""


@dataclass(frozen=True)
class Scores:
    """Integers m and b of every label: its score is ``m x + b``."""

    factors: tuple[int, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class Label:
    """What a label's value x stands for, ``factor * x + offset``, and which x there are."""

    factor: Fraction
    offset: Fraction
    low: int
    high: int


def integer_scores(labels: Sequence[Label]) -> Scores | None:
    """Return integers that order all labels as they are, equal ones as equal; None if none of the
    bits that hardware takes are known to."""
    exact = _exact(labels)
    top = max(abs(label.factor) for label in labels)
    if not top:
        return exact
    for bits in TRIED:
        if exact is not None and max(map(abs, exact.factors)).bit_length() <= bits:
            return exact
        unit = top / (1 << bits)
        found = Scores(
            tuple(round(label.factor / unit) for label in labels),
            tuple(round(label.offset / unit) for label in labels),
        )
        if _fit(found, labels) and _same_order(labels, found):
            return found
    return exact


def score_bits(scores: Scores, labels: Sequence[Label]) -> int:
    """Bits of all scores."""
    ends = [
        m * x + b
        for m, b, label in zip(scores.factors, scores.offsets, labels, strict=True)
        for x in (label.low, label.high)
    ]
    return constant_bits((*ends, *scores.offsets))


def constant_bits(values: Sequence[int]) -> int:
    """Bits that hold signed integers."""
    return max((v if v >= 0 else -v - 1).bit_length() for v in values) + 1


def _fit(scores: Scores, labels: Sequence[Label]) -> bool:
    return constant_bits(scores.factors) <= FACTOR_BITS and score_bits(scores, labels) <= SCORE_BITS


def _exact(labels: Sequence[Label]) -> Scores | None:
    """Factors and offsets in their largest common step, where that is short enough."""
    numbers = [n for label in labels for n in (label.factor, label.offset)]
    below = math.lcm(*(n.denominator for n in numbers))
    counts = [int(n * below) for n in numbers]
    step = math.gcd(*counts) or 1
    found = Scores(tuple(n // step for n in counts[::2]), tuple(n // step for n in counts[1::2]))
    return found if _fit(found, labels) else None


def _same_order(labels: Sequence[Label], scores: Scores) -> bool:
    """Whether scores order all labels as their factors and offsets do."""
    theirs = [
        Label(Fraction(m), Fraction(b), label.low, label.high)
        for m, b, label in zip(scores.factors, scores.offsets, labels, strict=True)
    ]
    # A factor that becomes 0 or turns around orders values of one label differently.
    if any((a.factor > 0) - (a.factor < 0) != (b.factor > 0) - (b.factor < 0)
           for a, b in zip(labels, theirs, strict=True)):  # fmt: skip
        return False
    return all(
        _agree(labels[i], labels[j], theirs[i], theirs[j])
        for j in range(len(labels))
        for i in range(j)
    )


def _agree(first: Label, second: Label, a: Label, b: Label) -> bool:
    """Whether two labels are in the same order at every pair of values: ``first`` is in front of
    ``second`` where it is no less, and so is a of b."""
    if not second.factor:
        if not first.factor:
            return (first.offset >= second.offset) == (a.offset >= b.offset)
        return _behind(first, second.offset) == _behind(a, b.offset)
    # y below the border: first is in front. With a falling second one it is y above it.
    above = second.factor < 0
    ours, others = _line(first, second, above), _line(a, b, above)
    window = (-second.high, -second.low) if above else (second.low, second.high)
    span = (first.low, first.high)
    return all(
        _points(ours, *piece, *window) == _points(others, *piece, *window)
        for piece in _pieces(ours, others, *span)
    )


def _behind(label: Label, value: Fraction) -> int:
    """Last integer of a label that stands for less than a value; where its factor is negative, for
    that value or more."""
    edge = (value - label.offset) / label.factor
    last = math.floor(edge) if label.factor < 0 else math.ceil(edge) - 1
    return min(max(last, label.low - 1), label.high)


def _line(first: Label, second: Label, above: bool) -> tuple[Fraction, Fraction]:
    """Slope and height of the line of y over x at which both are equal; of -y if ``above``."""
    sign = -1 if above else 1
    slope = sign * first.factor / second.factor
    return slope, sign * (first.offset - second.offset) / second.factor


def _pieces(
    one: tuple[Fraction, Fraction], other: tuple[Fraction, Fraction], low: int, high: int
) -> Iterator[tuple[int, int]]:
    """The values low..high in pieces within which no two lines cross."""
    slope = one[0] - other[0]
    cross = math.floor((other[1] - one[1]) / slope) if slope else high
    if low <= cross < high:
        yield low, cross
        yield cross + 1, high
    else:
        yield low, high


def _points(line: tuple[Fraction, Fraction], low: int, high: int, bottom: int, top: int) -> int:
    """Integers y from ``bottom`` to ``top`` on or below a line, over all x from low to high."""
    slope, height = line
    if slope < 0:
        slope, height, low, high = -slope, height, -high, -low
    # From the first x at which the line reaches the bottom to the last one below the top.
    if not slope:
        each = min(max(math.floor(height) - bottom + 1, 0), top - bottom + 1)
        return each * (high - low + 1)
    start = max(low, math.ceil((bottom - height) / slope))
    full = max(low, math.ceil((top - height) / slope))
    found = max(0, high - max(full, low) + 1) * (top - bottom + 1)
    end = min(high, full - 1)
    if start > end:
        return found
    at = height + slope * start - bottom
    below = math.lcm(slope.denominator, at.denominator)
    sum_of = _floors(end - start + 1, below, int(slope * below), int(at * below))
    return found + sum_of + (end - start + 1)


def _floors(count: int, below: int, step: int, start: int) -> int:
    """Sum of ``(step * k + start) // below`` for k from 0 to count - 1; nothing is negative."""
    total = 0
    while count:
        total += count * (count - 1) // 2 * (step // below) + count * (start // below)
        step, start = step % below, start % below
        # What is left counts the points below a line that rises less than 1 a step: seen from the
        # other axis it is a line of the inverse slope.
        last = step * count + start
        if last < below:
            break
        count, start = last // below, last % below
        below, step = step, below
    return total

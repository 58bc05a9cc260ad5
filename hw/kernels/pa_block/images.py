# SPDX-License-Identifier: Apache-2.0
"""Memory images of a PA block, and what its constants have to be."""

from __future__ import annotations

import numpy as np

from ....quant.grid import IntArray, accumulator_bounds, limits
from ..base import hex_memory, pack_lanes
from ..pa_levels import Levels
from .golden import codes


def refusals(
    levels: Levels,
    thresholds: IntArray,
    steps: IntArray,
    base: IntArray,
    weights: IntArray,
    in_bits: int,
    sum_bits: int,
) -> list[str]:
    """Say which constants the core has no codes, levels or sums for; empty where it has all."""
    low, high = limits(in_bits)
    # Codes change at thresholds only.
    seen = np.concatenate([thresholds.T, np.full((1, len(base)), low)]).clip(low, high)
    reached = codes(seen, thresholds, steps, base)
    ranges = [
        ("codes", reached, (0, levels.beta.size - 1)),
        ("weight codes", weights, (-levels.zero, levels.alpha.size - 1 - levels.zero)),
    ]
    found = _outside(ranges)
    if not found:
        ends = accumulator_bounds(
            levels.alpha[weights + levels.zero], int(levels.beta.min()), int(levels.beta.max())
        )
        found = _outside([("sums", np.concatenate(ends), limits(sum_bits))])
    return found


def _outside(ranges: list[tuple[str, IntArray, tuple[int, int]]]) -> list[str]:
    return [
        f"found {label} {values.min()}..{values.max()}, expected {low}..{high}"
        for label, values, (low, high) in ranges
        if values.min() < low or values.max() > high
    ]


def level_image(
    thresholds: IntArray, steps: IntArray, base: IntArray, in_bits: int, code_bits: int
) -> str:
    """Return the $readmemh text of the levels, a word per channel.

    Args:
        thresholds: (C, n).
        steps: (C, n) of -1 and +1.
        base: (C,) the code below every threshold.
        in_bits: bits of an input, signed.
        code_bits: bits of the start in a word, 0 where every step goes up from code 0.
    """
    low, high = limits(in_bits)
    # What every input reaches, or none does, is as good as the nearest such threshold.
    words = pack_lanes(np.clip(thresholds, low, high + 1), in_bits + 1)
    count = thresholds.shape[1]
    width = count * (in_bits + 1)
    if code_bits:
        # A step down where x >= t is a step up where x < t, from a base one lower.
        down = steps < 0
        start = (base - down.sum(axis=1)) % (1 << code_bits)
        marks = zip(words, pack_lanes(down, 1), start.tolist(), strict=True)
        words = [word | (bits | first << count) << width for word, bits, first in marks]
        width += count + code_bits
    return hex_memory(words, width)

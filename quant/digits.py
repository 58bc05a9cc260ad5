# SPDX-License-Identifier: Apache-2.0
"""Wide integers in a graph's initializers, which are float32: digits of 17 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .grid import IntArray

DIGIT_BITS = 17
"""Bits of a digit but the last one, which has the sign."""
DIGIT_TYPE = f"INT{DIGIT_BITS + 1}"
"""Datatype that holds every digit."""
FACTOR_BITS = 64
"""Most bits of a factor."""
SCORE_BITS = 120
"""Most bits of a score and of an offset: the engine's 128 hold every sum."""


def digits(values: Sequence[int], count: int = 0) -> IntArray:
    """Return the digits (C, n) of integers (C), the lowest first: ``count``, or as few as all of
    them need."""
    if count == 0:
        count = max(-(-(value + (value < 0)).bit_length() // DIGIT_BITS) for value in values) or 1
    low = (1 << DIGIT_BITS) - 1
    return np.array(
        [
            [(v >> DIGIT_BITS * k) & low for k in range(count - 1)]
            + [v >> DIGIT_BITS * (count - 1)]
            for v in values
        ],
        dtype=np.int64,
    )


def whole(values: IntArray) -> list[int]:
    """Return the integers (C) whose digits (C, n) are given."""
    return [sum(d << DIGIT_BITS * k for k, d in enumerate(row)) for row in values.tolist()]

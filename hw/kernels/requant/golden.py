# SPDX-License-Identifier: Apache-2.0
"""Golden model of Requant: a product, a sum, a shift and limits, per channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray

PART_BITS = 17
"""Bits of a part of a constant: float32 holds it, and with a sign a DSP block's shorter factor."""
FACTOR_PARTS = 2
"""Parts of a factor; the others are those of a summand."""
SUMMAND_PARTS = 3


def requant(
    x: IntArray, factors: IntArray, summands: IntArray, shift: int, first: int, last: int
) -> IntArray:
    """Return (x * factor + summand) >> shift, downwards, of x (..., C), in first..last."""
    y: IntArray = (x * factors + summands) >> shift
    return y.clip(first, last)


def constants(params: IntArray) -> tuple[IntArray, IntArray]:
    """Return factors and summands (C,) of parts (5, C), the lowest of each first."""
    return whole(params[:FACTOR_PARTS]), whole(params[FACTOR_PARTS:])


def whole(parts: IntArray) -> IntArray:
    """Return the numbers of which these are the parts."""
    found = np.zeros_like(parts[0])
    for part in parts[::-1]:
        found = (found << PART_BITS) + part
    return found


def parts(values: IntArray, count: int) -> IntArray:
    """Return the parts (count, C) of numbers, the lowest first; the last one has the sign."""
    shifted = [values >> (PART_BITS * i) for i in range(count)]
    return np.array([*(v & ((1 << PART_BITS) - 1) for v in shifted[:-1]), shifted[-1]])


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x (..., C) and params (5, C)."""
    factors, summands = constants(inputs[1])
    limits = attrs["first"], attrs["last"]
    return [requant(inputs[0], factors, summands, attrs["shift"], *limits)]

# SPDX-License-Identifier: Apache-2.0
"""Golden model of Requant: a product, a sum, a shift and limits, per channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.digits import digits, whole
from ....quant.grid import IntArray

FACTOR_DIGITS = 2
"""Digits of a factor; the others are those of a summand."""
SUMMAND_DIGITS = 3


def requant(
    x: IntArray, factors: IntArray, summands: IntArray, shift: int, first: int, last: int
) -> IntArray:
    """Return (x * factor + summand) >> shift, downwards, of x (..., C), in first..last."""
    y: IntArray = (x * factors + summands) >> shift
    return y.clip(first, last)


def params(factors: IntArray, summands: IntArray) -> IntArray:
    """Return the digits (5, C) of factors and summands (C,), the lowest of each first."""
    rows = (factors, FACTOR_DIGITS), (summands, SUMMAND_DIGITS)
    return np.concatenate([digits(values.tolist(), count).T for values, count in rows])


def constants(params: IntArray) -> tuple[IntArray, IntArray]:
    """Return factors and summands (C,) of their digits (5, C)."""
    factors, summands = params[:FACTOR_DIGITS], params[FACTOR_DIGITS:]
    return np.array(whole(factors.T)), np.array(whole(summands.T))


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x (..., C) and params (5, C)."""
    factors, summands = constants(inputs[1])
    limits = attrs["first"], attrs["last"]
    return [requant(inputs[0], factors, summands, attrs["shift"], *limits)]

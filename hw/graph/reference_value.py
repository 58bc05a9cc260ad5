# SPDX-License-Identifier: Apache-2.0
"""A tensor of the exact evaluator."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .qonnx_graph import FLOAT32_UNIT, Steps, multiples

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
MOST_PARTS = 1 << 8
"""Largest denominator of a quotient of small integers: codes have at most 8 bits."""


@dataclass(frozen=True)
class Value:
    """A tensor: ``codes * step`` with integer codes, or its values as they are (step None)."""

    codes: Array
    step: Fraction | None = None
    grid: tuple[Array, Steps] | None = None
    """Integers and their steps, broadcasting to them, where a quantiser has several."""

    @property
    def values(self) -> Array:
        """The tensor itself; float64 where it is no bool or integer tensor of ONNX."""
        return self.codes if self.step is None else multiples(self.codes, self.step)


def places(x: Value, scale: Array) -> Floats:
    """Return where values lie among a quantiser's steps: ``x / scale``.

    Scales that are statistics of codes, or of sums of codes over a window, often put codes halfway
    between two steps. Stored in float32 they miss that by a hair, which the quotient of an
    execution in float32 rounds away again. So where the values are whole steps, the quotient of
    that step and the scale is the one of small integers that it is as near to as float32 rounds.
    """
    quotient: Floats = x.values / scale
    if x.step is None:
        return quotient
    ratios = [_small(x.step / Fraction(float(s))) for s in scale.flat]
    known = np.reshape([ratio is not None for ratio in ratios], scale.shape)
    if not known.any():
        return quotient
    steps = np.array([ratio or Fraction(0) for ratio in ratios], dtype=object)
    return np.where(known, multiples(x.codes, steps.reshape(scale.shape)), quotient)


def _small(ratio: Fraction) -> Fraction | None:
    """The quotient of small integers that a quotient stands for, if there is one."""
    near = ratio.limit_denominator(MOST_PARTS)
    return near if abs(near - ratio) <= FLOAT32_UNIT * abs(ratio) else None

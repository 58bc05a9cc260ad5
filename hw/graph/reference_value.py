# SPDX-License-Identifier: Apache-2.0
"""A tensor of the exact evaluator."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .qonnx_graph import Steps, multiples

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


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


def places(x: Array, scale: Array) -> Floats:
    """Return where values lie among a quantiser's steps: ``x / scale``, rounded to float32 once.

    Scales that are statistics of codes, or of sums of codes over a window, often put codes halfway
    between two steps. Stored in float32 they miss that by a hair; the quotient in float32, which
    every execution of the file takes, meets it again. By a power of two nothing is rounded.
    """
    quotient: Floats = x / scale
    exact = np.frexp(scale)[0] == 0.5
    return np.where(exact, quotient, quotient.astype(np.float32).astype(np.float64))

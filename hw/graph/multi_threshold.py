# SPDX-License-Identifier: Apache-2.0
"""qonnx's MultiThreshold: how many thresholds of its channel a value reaches, times a factor, plus
a summand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .factors import common_step
from .reference_value import Array, Value

OP = "MultiThreshold"


@dataclass(frozen=True)
class Counts:
    """What a count stands for: ``(count * factor + first) * step``."""

    factor: int
    first: int
    step: Fraction

    @staticmethod
    def of(attributes: Mapping[str, Any]) -> Counts:
        """Read a node's out_scale, which is not 0, and out_bias."""
        scale, bias = (
            Fraction(float(attributes.get(name, default)))
            for name, default in (("out_scale", 1.0), ("out_bias", 0.0))
        )
        (factor, first), step = common_step([scale, bias])
        return Counts(factor, first, step)

    def codes(self, counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the codes that counts stand for."""
        return counts * self.factor + self.first


def counted(x: Array, thresholds: Array) -> Array:
    """Count the thresholds (C, n), or (1, n) for all channels, that values (N, C, ..) reach."""
    rows = thresholds.reshape(1, len(thresholds), *(1,) * (x.ndim - 2), -1)
    counts = np.zeros(x.shape)
    for at in range(rows.shape[-1]):
        counts += x >= rows[..., at]
    return counts


def multi_threshold(v: list[Value], attributes: Mapping[str, Any]) -> Value:
    """The kernel of the exact evaluator."""
    found = Counts.of(attributes)
    return Value(found.codes(counted(v[0].values, v[1].values)), found.step)

# SPDX-License-Identifier: Apache-2.0
"""What a kernel's cases.py is made of: parameter sets for goldens, ops, RTL and the CPU engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Operand:
    """One node input: its integers lie in ``low..high``; ``streamed`` is False for initializers."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    low: int
    high: int
    streamed: bool = True

    def random(self, rng: np.random.Generator) -> IntArray:
        """Uniform integers over the whole range."""
        return rng.integers(self.low, self.high, self.shape, dtype=np.int64, endpoint=True)


@dataclass(frozen=True)
class Case:
    """One parameter set of a kernel.

    ``worst`` maps the initializers to frames (lists of streamed inputs) that drive the
    accumulators, adders and saturations to their extremes; ``initializers`` may replace the
    uniform default where the op needs structure (sorted thresholds, planted extremes).
    """

    name: str
    op_type: str
    attrs: Mapping[str, Any]
    operands: tuple[Operand, ...]
    output_types: tuple[str, ...]
    initializers: Callable[[np.random.Generator], list[IntArray]] | None = None
    worst: Callable[[Sequence[IntArray]], list[list[IntArray]]] | None = None
    seed: int = field(default=1)

    def make_initializers(self) -> list[IntArray]:
        """The initializers: fixed by ``seed``, the same for every frame."""
        rng = np.random.default_rng(self.seed)
        if self.initializers is not None:
            return self.initializers(rng)
        return [o.random(rng) for o in self.operands if not o.streamed]

    def random_frame(self, rng: np.random.Generator) -> list[IntArray]:
        """One frame of uniform streamed inputs, in node input order."""
        return [o.random(rng) for o in self.operands if o.streamed]

    def worst_frames(self) -> list[list[IntArray]]:
        """The worst-case frames, or all-minimum and all-maximum inputs by default."""
        if self.worst is not None:
            return self.worst(self.make_initializers())
        streamed = [o for o in self.operands if o.streamed]
        return [
            [np.full(o.shape, o.low, dtype=np.int64) for o in streamed],
            [np.full(o.shape, o.high, dtype=np.int64) for o in streamed],
        ]

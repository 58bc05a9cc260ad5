# SPDX-License-Identifier: Apache-2.0
"""The phases of a run and their learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .recipe import Options

REAL_WEIGHT_DECAY = 1e-5
"""Weight decay of the real phase; 1-bit weights have no magnitude to decay."""


@dataclass(frozen=True)
class Phase:
    """One phase of a run: what is real, what is fixed, and its learning rate."""

    name: str
    epochs: int
    learning_rate: float
    warmup_epochs: int
    weight_decay: float
    real: bool
    fixed_statistics: bool

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine to 0."""
        warmup = self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        rest = max(self.epochs * steps_per_epoch - warmup, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / rest))


def phases_of(options: Options) -> list[Phase]:
    """Return the phases of a recipe that have epochs, in order."""
    warmup = options.warmup_epochs
    plan = [
        Phase(
            "real values",
            options.real_epochs,
            options.real_learning_rate,
            warmup,
            REAL_WEIGHT_DECAY,
            real=True,
            fixed_statistics=False,
        ),
        Phase(
            "batch statistics",
            options.epochs,
            options.learning_rate,
            warmup,
            0.0,
            real=False,
            fixed_statistics=False,
        ),
        Phase(
            "fixed statistics",
            options.finetune_epochs,
            options.finetune_learning_rate,
            0,
            0.0,
            real=False,
            fixed_statistics=True,
        ),
    ]
    return [phase for phase in plan if phase.epochs]

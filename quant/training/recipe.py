# SPDX-License-Identifier: Apache-2.0
"""The recipe of a run, and what is said of it while it goes on; without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from ..names import brief

RANGES: dict[str, tuple[float, float]] = {
    "real_epochs": (0, 1_000_000),
    "epochs": (1, 1_000_000),
    "finetune_epochs": (0, 1_000_000),
    "warmup_epochs": (0, 1_000_000),
    "real_learning_rate": (1e-9, 10.0),
    "learning_rate": (1e-9, 10.0),
    "finetune_learning_rate": (1e-9, 10.0),
    "batch": (2, 65_536),
    "label_smoothing": (0.0, 0.5),
    "jitter": (0.0, 1.0),
    "seed": (0, (1 << 32) - 1),
    "threads": (1, 1024),
}
"""Least and most of every number of ``Options``."""


class OptionError(ValueError):
    """An option of the recipe that is out of range; the message is one line."""


@dataclass(frozen=True)
class Options:
    """The recipe.

    Attributes:
        real_epochs: epochs on real values, before the others.
        epochs: epochs on quantised values with batch statistics.
        finetune_epochs: epochs on quantised values with fixed statistics, after the others.
        real_learning_rate: learning rate of Adam on real values. It rises over the warm-up epochs
            and falls to 0 along a cosine.
        learning_rate: learning rate of Adam on quantised values; rises and falls likewise.
        finetune_learning_rate: learning rate of Adam with fixed statistics; falls to 0 along a
            cosine.
        warmup_epochs: epochs over which a learning rate rises, of a phase with batch statistics.
        batch: pictures per step.
        label_smoothing: share of the target that is spread over all classes, 0 to 0.5.
        jitter: how much gain and offset of a training picture may change, 0 to 1.
        seed: decides split, order, augmentation and initial weights.
        start: SHA-256 of the checkpoint the network starts from; empty for initial weights.
        threads: CPU threads of PyTorch, by default as many as PyTorch chooses.
        device: where to train, cpu or cuda.

    Raises:
        OptionError: a value is out of ``RANGES``, or the device is unknown.
    """

    real_epochs: int = 0
    epochs: int = 80
    finetune_epochs: int = 8
    real_learning_rate: float = 4e-3
    learning_rate: float = 2e-3
    finetune_learning_rate: float = 3e-4
    warmup_epochs: int = 2
    batch: int = 32
    label_smoothing: float = 0.1
    jitter: float = 0.2
    seed: int = 0
    start: str = ""
    threads: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            # Written so that NaN is refused too.
            if value is not None and not least <= value <= most:
                raise OptionError(
                    f"training: found {name} {brief(value)}, expected {least} to {most}"
                )
        if self.device not in ("cpu", "cuda"):
            raise OptionError(f"training: found device {brief(self.device)}, expected cpu or cuda")


Figures = dict[str, float | None]
"""Figures by name, from 0 to 1; None where nothing was there to measure."""


@dataclass(frozen=True)
class Progress:
    """State after an epoch, as the progress callback gets it."""

    phase: str
    epoch: int
    epochs: int
    loss: float
    figures: Figures
    """The task's figures on the validation pictures."""
    seconds: float

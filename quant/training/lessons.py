# SPDX-License-Identifier: Apache-2.0
"""What training asks of a task: pictures with their truth, a loss, figures of success."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from .recipe import Figures, Options, Progress

if TYPE_CHECKING:
    from torch import Tensor, nn


class Outcome(Protocol):
    """What every task reports of a network on the validation pictures."""

    @property
    def n(self) -> int:
        """Validation pictures."""

    @property
    def figures(self) -> Figures:
        """Figures by name."""

    def summary(self) -> dict[str, Any]:
        """Return the figures and the numbers behind them, ready for JSON."""

    @property
    def history(self) -> list[Progress]:
        """Every epoch."""


R = TypeVar("R", bound=Outcome)


def largest(logits: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the class of (N, classes, ...) logits; ties go to the lowest index."""
    return logits.argmax(axis=1).astype(np.int64)


class Lessons(Protocol[R]):
    """What a network is to learn: pictures with their truth, a loss, figures of success."""

    @property
    def figure(self) -> str:
        """Name of the figure that the curve shows."""

    @property
    def train_labels(self) -> Sequence[int]:
        """Class of every training picture; an epoch draws all classes equally often."""

    @property
    def val_pictures(self) -> npt.NDArray[np.uint8]:
        """(N, H, W, C) pictures that are never trained on."""

    def views(
        self, chosen: Sequence[int], rngs: Sequence[np.random.Generator], jitter: float
    ) -> tuple[npt.NDArray[np.uint8], Tensor]:
        """Return augmented training pictures (B, H, W, C) and their truth."""

    def loss(self, logits: Tensor, truth: Tensor, options: Options) -> Tensor:
        """Return the scalar to minimise."""

    def decide(self, logits: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return what the network's output decides, such as the class of each picture."""

    def result(self, found: npt.NDArray[np.int64], history: Sequence[Progress]) -> R:
        """Return the figures of predictions on the validation pictures."""

    def metrics(self, result: R) -> dict[str, Any]:
        """Return what the metrics file says about a result, ready for JSON."""

    def identity(self) -> dict[str, Any]:
        """Return what tells these pictures from others when a run is resumed, ready for JSON."""

    @property
    def notes(self) -> list[str]:
        """What was done to pictures and their truth, in words."""

    def draw(self, net: nn.Module, path: Path) -> None:
        """Draw predictions of validation pictures beside their truth, where a picture shows them.

        Args:
            net: the final network.
            path: PNG to write.
        """

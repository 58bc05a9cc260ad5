# SPDX-License-Identifier: Apache-2.0
"""Classification as a task for ``training.train``: one class per picture, cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from .datasets import Dataset, augment, load, split
from .pictures import Picture, read_picture
from .training import Figures, Options, Progress


@dataclass(frozen=True)
class Result:
    """Outcome of a run; ``accuracy`` = ``correct`` / ``n`` of the final network on validation."""

    accuracy: float
    correct: int
    n: int
    confusion: list[list[int]]
    history: list[Progress]
    wrong: list[str] = field(default_factory=list)

    @property
    def figures(self) -> Figures:
        """The accuracy, by name."""
        return {"accuracy": self.accuracy}

    def summary(self) -> dict[str, Any]:
        """Return accuracy and the numbers behind it."""
        return {"accuracy": self.accuracy, "correct": self.correct, "n": self.n}


@dataclass(frozen=True)
class Classification:
    """Pictures in memory: training ones at their own size, validation ones as the network sees."""

    classes: tuple[str, ...]
    height: int
    width: int
    filter: str
    train_pictures: list[Picture]
    train_labels: list[int]
    val_pictures: npt.NDArray[np.uint8]
    val_labels: list[int]
    val_names: list[str]
    figure: str = "accuracy"

    def views(
        self, chosen: Sequence[int], rngs: Sequence[np.random.Generator], jitter: float
    ) -> tuple[npt.NDArray[np.uint8], Tensor]:
        """Return augmented pictures (B, H, W, C) and class indices (B,)."""
        views = [
            augment(self.train_pictures[i], self.height, self.width, rng, jitter, self.filter)
            for i, rng in zip(chosen, rngs, strict=True)
        ]
        return np.stack(views), torch.tensor([self.train_labels[i] for i in chosen])

    def loss(self, logits: Tensor, truth: Tensor, options: Options) -> Tensor:
        """Cross-entropy of (B, classes) logits."""
        return F.cross_entropy(logits, truth, label_smoothing=options.label_smoothing)

    def result(self, found: npt.NDArray[np.int64], history: Sequence[Progress]) -> Result:
        """Compare (N,) class indices with the validation labels."""
        truth = np.asarray(self.val_labels)
        confusion = np.zeros((len(self.classes),) * 2, dtype=np.int64)
        np.add.at(confusion, (truth, found), 1)
        correct = int((found == truth).sum())
        return Result(
            accuracy=correct / len(truth),
            correct=correct,
            n=len(truth),
            confusion=confusion.tolist(),
            history=list(history),
            wrong=[
                f"{name}: {self.classes[got]}"
                for name, want, got in zip(self.val_names, truth, found, strict=True)
                if want != got
            ],
        )

    def metrics(self, result: Result) -> dict[str, Any]:
        """Return accuracy, confusion and wrong pictures."""
        return {
            **result.summary(),
            "training_pictures": len(self.train_pictures),
            "classes": list(self.classes),
            "confusion": result.confusion,
            "wrong": result.wrong,
        }

    def identity(self) -> dict[str, Any]:
        """Return classes, size and split."""
        return {
            "classes": self.classes,
            "size": [self.height, self.width],
            "labels": [self.train_labels, self.val_labels],
            "validation": self.val_names,
        }


def prepare(
    dataset: Dataset,
    height: int,
    width: int,
    channels: int,
    *,
    validation: float = 0.2,
    seed: int = 0,
    filter: str = "bilinear",
) -> Classification:
    """Split a data set and read its pictures.

    Args:
        dataset: what ``find_samples`` found.
        height: rows of the network's input.
        width: columns of the network's input.
        channels: 1 or 3.
        validation: share of every class that is never trained on.
        seed: seed of the split.
        filter: resize filter.

    Raises:
        DatasetError: the set cannot be divided.
        PictureError: a picture cannot be used.
    """
    labels = [sample.label for sample in dataset.samples]
    train_index, val_index = split(labels, validation, seed)
    chosen = [dataset.samples[i] for i in val_index]
    val = [read_picture(s.path, height, width, channels, filter) for s in chosen]
    return Classification(
        classes=dataset.classes,
        height=height,
        width=width,
        filter=filter,
        train_pictures=load(
            (dataset.samples[i] for i in train_index), height, width, channels, filter
        ),
        train_labels=[labels[i] for i in train_index],
        val_pictures=np.stack(val),
        val_labels=[labels[i] for i in val_index],
        val_names=[s.path.relative_to(dataset.root).as_posix() for s in chosen],
    )

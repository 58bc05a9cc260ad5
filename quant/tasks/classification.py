# SPDX-License-Identifier: Apache-2.0
"""Classification: one class per picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..data.layout import Dataset, DatasetError
from ..names import printable, some
from ..pictures import Picture
from ..samples.augment import augment
from ..samples.found import find_samples
from ..samples.reader import Reader, upright_lines
from ..samples.split import split
from ..training.lessons import largest
from ..training.recipe import Figures, Options, Progress
from .task import (
    Exam,
    IntArray,
    Output,
    Outputs,
    Pictures,
    ReportRow,
    Shown,
    Table,
    Task,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


def score(
    found: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], classes: Sequence[str]
) -> dict[str, Any]:
    """Return accuracy and the numbers behind it.

    Args:
        found: (N,) class indices.
        truth: (N,).
        classes: names of the classes.

    Returns:
        ``{"n", "correct", "accuracy", "per_class": {name: {n, accuracy}}, "confusion"}``; classes
        without pictures are left out of ``per_class``, rows of ``confusion`` are the truth.
    """
    right = found == truth
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (truth, found), 1)
    return {
        "n": len(truth),
        "correct": int(right.sum()),
        "accuracy": float(right.mean()),
        "per_class": {
            name: {"n": int((truth == i).sum()), "accuracy": float(right[truth == i].mean())}
            for i, name in enumerate(classes)
            if (truth == i).any()
        },
        "confusion": confusion.tolist(),
    }


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
class PictureLessons:
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
    notes: list[str] = field(default_factory=list)
    figure: str = "accuracy"

    def views(
        self, chosen: Sequence[int], rngs: Sequence[np.random.Generator], jitter: float
    ) -> tuple[npt.NDArray[np.uint8], Tensor]:
        """Return augmented pictures (B, H, W, C) and class indices (B,)."""
        import torch

        views = [
            augment(self.train_pictures[i], self.height, self.width, rng, jitter, self.filter)
            for i, rng in zip(chosen, rngs, strict=True)
        ]
        return np.stack(views), torch.tensor([self.train_labels[i] for i in chosen])

    def loss(self, logits: Tensor, truth: Tensor, options: Options) -> Tensor:
        """Cross-entropy of (B, classes) logits."""
        from torch.nn import functional

        return functional.cross_entropy(logits, truth, label_smoothing=options.label_smoothing)

    decide = staticmethod(largest)

    def result(self, found: npt.NDArray[np.int64], history: Sequence[Progress]) -> Result:
        """Compare (N,) class indices with the validation labels."""
        truth = np.asarray(self.val_labels)
        figures = score(found, truth, self.classes)
        return Result(
            **{key: figures[key] for key in ("accuracy", "correct", "n", "confusion")},
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

    def draw(self, net: nn.Module, path: Path) -> None:
        """A class is no picture: nothing is drawn."""


def prepare(
    dataset: Dataset,
    height: int,
    width: int,
    channels: int,
    *,
    validation: float = 0.2,
    seed: int = 0,
    filter: str = "bilinear",
) -> PictureLessons:
    """Split a data set and read its pictures; see ``Task.prepare``.

    ``filter`` is the resize filter.
    """
    labels = [sample.label for sample in dataset.samples]
    train_index, val_index = split(labels, validation, seed)
    chosen = [dataset.samples[i] for i in val_index]
    reader = Reader(height, width, channels, filter)
    val = [reader.read(s.path) for s in chosen]
    train = [reader.keep(dataset.samples[i].path) for i in train_index]
    return PictureLessons(
        classes=dataset.classes,
        height=height,
        width=width,
        filter=filter,
        train_pictures=train,
        train_labels=[labels[i] for i in train_index],
        val_pictures=np.stack(val),
        val_labels=[labels[i] for i in val_index],
        val_names=[s.path.relative_to(dataset.root).as_posix() for s in chosen],
        notes=upright_lines(reader.turned, reader.total),
    )


class PictureExam(Exam):
    """Classes of pictures, right or wrong."""

    def __init__(self, dataset: Dataset, classes: Sequence[str], reader: Reader) -> None:
        unknown = [name for name in dataset.classes if name not in classes]
        if unknown:
            raise DatasetError(
                f"{dataset.root}: found class {unknown[0]}, expected some of {some(classes)}; the "
                "folder's classes must be those the model was trained on (a network from elsewhere "
                "is given their names by andpop build --classes)"
            )
        self._dataset = dataset
        self._classes = classes
        self._reader = reader
        self._found: list[IntArray] = []

    def __len__(self) -> int:
        return len(self._dataset.samples)

    def read(self, start: int, stop: int) -> Pictures:
        return np.stack([self._reader.read(s.path) for s in self._dataset.samples[start:stop]])

    def take(self, outputs: Outputs) -> None:
        self._found.append(_classes(outputs).values)

    def score(self) -> dict[str, Any]:
        index = [self._classes.index(name) for name in self._dataset.classes]
        truth = np.array([index[sample.label] for sample in self._dataset.samples])
        return score(np.concatenate(self._found), truth, self._classes)

    def notes(self) -> list[str]:
        absent = [name for name in self._classes if name not in self._dataset.classes]
        said = f"{self._dataset.root}: no pictures of {some(absent)}; accuracy is that of the "
        return [*self._reader.lines(), *([f"{said}others"] if absent else [])]


class Classification(Task):
    """One class per picture."""

    name = "classification"
    heads = ("class",)
    predicts = "classes"
    answer = "class"
    last_word = "class"
    figure = "accuracy"
    tells_logits = True
    about = (
        "They show that every backend gives the same answer, not how good it is on real pictures."
    )

    def find(self, root: Path, only: Sequence[str] = ()) -> Dataset:
        """See ``Task.find``."""
        return find_samples(root)

    def classes(self, dataset: Dataset) -> tuple[str, ...]:
        """See ``Task.classes``: the data set's own, two or more."""
        if len(dataset.classes) < 2:
            raise DatasetError(
                f"{dataset.root}: found pictures of class {dataset.classes[0]} alone "
                f"({dataset.layout}), expected two classes or more to tell apart; add pictures of "
                "another class"
            )
        return dataset.classes

    def prepare(
        self,
        dataset: Dataset,
        height: int,
        width: int,
        channels: int,
        *,
        validation: float,
        seed: int,
    ) -> PictureLessons:
        """See ``Task.prepare``."""
        return prepare(dataset, height, width, channels, validation=validation, seed=seed)

    def exam(
        self, dataset: Dataset, classes: Sequence[str], size: tuple[int, int, int], filter: str
    ) -> PictureExam:
        """See ``Task.exam``."""
        return PictureExam(dataset, classes, Reader(*size, filter))

    def show_score(self, score: Mapping[str, Any]) -> list[Shown]:
        """See ``Task.show_score``."""
        rows = [(c, v["n"], f"{v['accuracy']:.4f}") for c, v in score["per_class"].items()]
        return [
            f"{score['correct']} of {score['n']} pictures right: accuracy {score['accuracy']:.4f}",
            Table("Per class", ("class", "pictures", "accuracy"), list(rows)),
        ]

    def trained(self, known: Mapping[str, Any]) -> str:
        """See ``Task.trained``."""
        return (
            f"gets {100 * known['accuracy']:.2f} % of {known['validation_pictures']} validation "
            f"pictures right at {'x'.join(map(str, known['input']))}"
        )

    def check_folder(self, folder: Path | None, images: Path, paths: Sequence[Path]) -> None:
        """See ``Task.check_folder``: nothing is written."""

    def predictions(
        self,
        outputs: Outputs,
        classes: Sequence[str],
        images: Path,
        paths: Sequence[Path],
        folder: Path | None = None,
    ) -> list[dict[str, Any]]:
        """Return ``[{picture, class, index, logits}]``; logits are None where they are unknown.

        Of a network that ends in a softmax or sigmoid also ``probabilities`` of all classes, of one
        that ends in a TopK ``best``: its classes, the largest logit first.
        """
        found = _classes(outputs)
        logits = [None] * len(paths) if found.logits is None else found.logits.tolist()
        rows: list[dict[str, Any]] = [
            {
                "picture": str(path),
                "class": classes[int(index)],
                "index": int(index),
                "logits": row,
            }
            for path, index, row in zip(paths, found.values, logits, strict=True)
        ]
        if found.behind is None or found.logits is None:
            return rows
        shares = found.behind.probabilities(found.logits)
        if shares is not None:
            for row, share in zip(rows, shares.tolist(), strict=True):
                row["probabilities"] = share
        if found.behind.best:
            ranked = found.behind.ranked(found.logits, found.values)
            for row, labels in zip(rows, ranked.tolist(), strict=True):
                row["best"] = [{"class": classes[label], "index": label} for label in labels]
        return rows

    def show_predictions(self, predictions: Sequence[Mapping[str, Any]]) -> list[Shown]:
        """One line per picture: its name and its class, or its best ones, with probabilities where
        the network computes such."""
        lines: list[Shown] = []
        for p in predictions:
            named = [p["picture"]]
            for found in p.get("best", [p]):
                share = p["probabilities"][found["index"]] if "probabilities" in p else None
                named.append(found["class"] + (f" {share:.4f}" if share is not None else ""))
            lines.append("\t".join(map(printable, named)))
        return lines

    def report_rows(
        self,
        outputs: Outputs,
        classes: Sequence[str],
        names: Sequence[str],
        pictures: Pictures,
        sources: Sequence[tuple[Path, tuple[int, int]]] = (),
    ) -> list[ReportRow]:
        """See ``Task.report_rows``: the picture and its class."""
        found = _classes(outputs).values
        return [
            ReportRow(name, classes[int(found[i])], [("input", pictures[i])])
            for i, name in enumerate(names)
        ]


def _classes(outputs: Outputs) -> Output:
    return next(output for output in outputs.values() if output.kind == "class")

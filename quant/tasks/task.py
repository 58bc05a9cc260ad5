# SPDX-License-Identifier: Apache-2.0
"""What a network is for, as one object: labels, decoding, training, figures, tables, pictures.

Nothing here needs PyTorch: the loss imports it when it is called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from ..data.layout import Dataset
from ..grid import IntArray
from ..training.lessons import Lessons, largest

Pictures = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Behind:
    """What a network computes behind the logits that a class is picked from.

    Attributes:
        function: Softmax, LogSoftmax or Sigmoid; empty for none.
        best: how many classes it names; 0 for the one.
        factors, offsets: (L,) of every label: its logit is ``factor * integer + offset``.
    """

    function: str
    best: int
    factors: FloatArray
    offsets: FloatArray

    def probabilities(self, logits: IntArray) -> FloatArray | None:
        """Return those (N, L) of integers (N, L); None where the network computes none. One logit
        behind a sigmoid is two labels, of which the first has the logit 0."""
        if not self.function:
            return None
        values = logits * self.factors + self.offsets
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def ranked(self, logits: IntArray, classes: IntArray) -> IntArray:
        """Return the labels (N, best) of the largest logits (N, L), that of ``classes`` (N,)
        first, of equal ones the lowest."""
        values = logits * self.factors + self.offsets
        values[np.arange(len(classes)), classes] = np.inf
        return np.argsort(-values, axis=1, kind="stable")[:, : self.best]


@dataclass(frozen=True)
class Output:
    """What one head of a network gave for some pictures.

    Attributes:
        kind: kind of the head, as ``hw.graph.heads`` names it.
        values: (N,) of a class, (N, H, W) of a class per pixel, else (N, ...) as in the graph.
        logits: (N, L) integers that a class was picked from, where the backend tells them.
        behind: what the network computes of these; None for nothing.
    """

    kind: str
    values: IntArray
    logits: IntArray | None = None
    behind: Behind | None = None


Outputs: TypeAlias = Mapping[str, Output]
"""Every head by name."""


def shaped(kind: str, tensor: IntArray) -> IntArray:
    """Return the values of a head of a graph's output tensor (N, ...), as ``Output`` has them."""
    if kind == "class":
        return tensor.reshape(len(tensor))
    return tensor[..., 0] if kind == "class_map" else tensor


@dataclass(frozen=True)
class Table:
    """Figures for people: integers and texts in columns."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


Shown: TypeAlias = str | Table
"""A line that can be printed as it is, or a table."""


@dataclass(frozen=True)
class ReportRow:
    """A picture in a report.

    Attributes:
        picture: its name.
        text: what was found.
        panels: (title, (H, W, C) pixels), the picture first.
        label: what should be found, where it is known and a word; else empty.
    """

    picture: str
    text: str
    panels: list[tuple[str, Pictures]]
    label: str = ""


class Exam(ABC):
    """A network asked about labelled pictures, part by part; then the figures."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of pictures."""

    @abstractmethod
    def read(self, start: int, stop: int) -> Pictures:
        """Return the pictures of a part at the network's size, (N, H, W, C)."""

    @abstractmethod
    def take(self, outputs: Outputs) -> None:
        """Take what the network gave for the part that was read last."""

    @abstractmethod
    def score(self) -> dict[str, Any]:
        """Return the figures of all parts, ready for JSON."""

    @abstractmethod
    def notes(self) -> list[str]:
        """Say what was done to the pictures, and what the figures leave out."""


class Task(ABC):
    """What a network is for; ``TASKS`` lists them.

    Attributes:
        name: as ``models.registry`` calls it.
        heads: kinds of its heads.
        predicts: what it predicts, in plural, for messages.
        answer: the output of one picture, for tables.
        last_word: where a simulated frame ends.
        figure: name of the figure that says how good a network is.
        kinds: True if some kinds of what is labelled can be left out (``--defects``).
        draws: True if predictions are pictures, which can be written to a folder.
        tells_logits: True if predictions tell the logits, which the CPU backend alone delivers.
        about: a sentence on the pictures of a report.
    """

    name: ClassVar[str]
    heads: ClassVar[tuple[str, ...]]
    predicts: ClassVar[str]
    answer: ClassVar[str]
    last_word: ClassVar[str]
    figure: ClassVar[str]
    kinds: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    tells_logits: ClassVar[bool] = False
    about: ClassVar[str]

    # Labels and training

    @abstractmethod
    def find(self, root: Path, only: Sequence[str] = ()) -> Dataset:
        """List the labelled pictures of a folder.

        Args:
            root: a folder in a layout of ``data.LAYOUTS``.
            only: kinds to keep, all by default; for tasks with ``kinds``.

        Raises:
            DatasetError: the folder holds no such labels.
        """

    @abstractmethod
    def classes(self, dataset: Dataset) -> tuple[str, ...]:
        """Return the names of a network's classes, in the order of its logits.

        Raises:
            DatasetError: there is nothing to tell apart.
        """

    @abstractmethod
    def prepare(
        self,
        dataset: Dataset,
        height: int,
        width: int,
        channels: int,
        *,
        validation: float,
        seed: int,
    ) -> Lessons[Any]:
        """Split a data set and read its pictures.

        Args:
            dataset: what ``find`` found.
            height: rows of the network's input.
            width: columns of the network's input.
            channels: 1 or 3.
            validation: share of every class that is never trained on.
            seed: seed of the split.

        Raises:
            DatasetError: the set cannot be divided, or its labels cannot be used.
            PictureError: a picture cannot be used.
        """

    def decide(self, logits: npt.NDArray[Any]) -> IntArray:
        """Return what the output of a PyTorch network (N, L, ...) decides: the largest of L."""
        return largest(logits)

    # Figures

    @abstractmethod
    def exam(
        self, dataset: Dataset, classes: Sequence[str], size: tuple[int, int, int], filter: str
    ) -> Exam:
        """Ask a network about labelled pictures.

        Args:
            dataset: what ``find`` found.
            classes: the network's classes.
            size: its input height, width, channels.
            filter: resize filter of its card.

        Raises:
            DatasetError: the labels are not those of the network.
        """

    @abstractmethod
    def show_score(self, score: Mapping[str, Any]) -> list[Shown]:
        """Return figures as lines and tables."""

    @abstractmethod
    def trained(self, known: Mapping[str, Any]) -> str:
        """Say how good a checkpoint is: "gets 99.31 % of ...".

        Args:
            known: ``accuracy``, ``dice``, ``validation_pictures`` and ``input`` (height, width,
                channels) of its card.
        """

    # Predictions

    @abstractmethod
    def check_folder(self, folder: Path | None, images: Path, paths: Sequence[Path]) -> None:
        """Check where predictions will be written, before the work.

        Args:
            folder: where predictions go, None for nowhere.
            images: the picture, or the folder of pictures, that was asked for.
            paths: the pictures.

        Raises:
            PictureError: the folder cannot take them.
        """

    @abstractmethod
    def predictions(
        self,
        outputs: Outputs,
        classes: Sequence[str],
        images: Path,
        paths: Sequence[Path],
        folder: Path | None = None,
    ) -> list[dict[str, Any]]:
        """Return one row per picture, ready for JSON; where the task draws, write them too.

        Args:
            outputs: what the network gave.
            classes: the network's classes.
            images: the picture, or the folder of pictures, that was asked for.
            paths: the pictures.
            folder: see ``check_folder``.
        """

    @abstractmethod
    def show_predictions(self, predictions: Sequence[Mapping[str, Any]]) -> list[Shown]:
        """Return rows of ``predictions`` as lines and tables."""

    @abstractmethod
    def report_rows(
        self,
        outputs: Outputs,
        classes: Sequence[str],
        names: Sequence[str],
        pictures: Pictures,
        sources: Sequence[tuple[Path, tuple[int, int]]] = (),
    ) -> list[ReportRow]:
        """Return a row for each of ``names`` for a report.

        Args:
            outputs: what the golden model gave for these pictures, and maybe more after them.
            classes: the network's classes.
            names: names of the pictures.
            pictures: (N, H, W, C) at the network's size.
            sources: files of the pictures and their own sizes, for labels beside them; none where
                the pictures come from no file.
        """

# SPDX-License-Identifier: Apache-2.0
"""Pictures from disk at a model's input size, each opened once, and notes on what was converted.

Where a network takes what no picture file holds, inputs come from .npy files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..quant.data import choose_pictures
from ..quant.inputs import SAME, Reads
from ..quant.names import printable
from ..quant.pictures import PictureError
from ..quant.samples.reader import Reader
from ..quant.tasks.task import Task
from .arrays import list_arrays, read_array
from .progress import Progress

Pictures = npt.NDArray[np.uint8]


class Input(Protocol):
    """What takes pictures: its input shape (height, width, channels), the resize filter, and what
    bytes of .npy files stand for where that is known."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def resize_filter(self) -> str: ...

    @property
    def reads(self) -> Reads | None: ...


@dataclass(frozen=True)
class Chosen:
    """Picture files that a command was given, before they are read.

    Attributes:
        images: the picture, or the folder of pictures, that was asked for.
        paths: the pictures.
        notes: what was left out.
        arrays: they are .npy files, each of one input or several.
        count: use the first inputs alone; None for all.
    """

    images: Path
    paths: list[Path]
    notes: list[str]
    arrays: bool = False
    count: int | None = None

    def read(self, model: Input, progress: Progress) -> Given:
        """Read them as ``read_all`` or ``read_arrays`` does."""
        if self.arrays:
            return read_arrays(self.paths, model, self.count)
        given = read_all(self.paths, model, progress)
        return replace(given, notes=[*self.notes, *given.notes])


@dataclass(frozen=True)
class Given:
    """Pictures at a network's input size.

    Attributes:
        paths: their files.
        sizes: height and width of the files.
        pixels: (N, H, W, C).
        notes: what was left out and what was converted.
    """

    paths: list[Path]
    sizes: list[tuple[int, int]]
    pixels: Pictures
    notes: list[str]

    @property
    def names(self) -> list[str]:
        """The files' names."""
        return [path.name for path in self.paths]

    @property
    def sources(self) -> list[tuple[Path, tuple[int, int]]]:
        """Files and their own sizes."""
        return list(zip(self.paths, self.sizes, strict=True))


def read_all(paths: Sequence[Path], model: Input, progress: Progress) -> Given:
    """Read pictures at the model's input size with the card's resize filter.

    Args:
        paths: picture files.
        model: gives input shape and resize filter.
        progress: called per picture read.

    Raises:
        PictureError: a file cannot be used as a picture, or no picture file has as many channels
            as the model takes.
    """
    reader = Reader(*model.shape, model.resize_filter)
    pixels = np.empty((len(paths), *model.shape), dtype=np.uint8)
    sizes = []
    for i, path in enumerate(paths):
        picture = reader.decode(path)
        sizes.append(picture.shape[:2])
        pixels[i] = reader.resize(picture)
        progress("reading pictures", i + 1, len(paths))
    return Given(list(paths), sizes, pixels, reader.lines())


def read_arrays(paths: Sequence[Path], model: Input, count: int | None) -> Given:
    """Read the first ``count`` inputs of .npy files; those of one file are numbered.

    Raises:
        PictureError: a file holds no inputs of the model's shape, or all hold none.
    """
    names: list[Path] = []
    parts: list[Pictures] = []
    farthest = 0.0
    for path in paths:
        inputs, several, off = read_array(path, model.shape, model.reads)
        farthest = max(farthest, off)
        parts.append(inputs[: None if count is None else count - len(names)])
        shown = [path.with_name(f"{path.name}[{i}]") for i in range(len(parts[-1]))]
        names += shown if several else [path]
        if len(names) == count:
            break
    if not names:
        raise PictureError(f"{printable(paths[0])}: found no inputs, expected one or more")
    sizes = [model.shape[:2]] * len(names)
    notes = []
    if farthest > SAME:
        where = printable(paths[0] if len(paths) == 1 else paths[0].parent)
        notes.append(
            f"numbers of {where} were rounded to the nearest that a byte stands for, the farthest "
            f"by {farthest:.2f} of a step"
        )
    return Given(names, sizes, np.concatenate(parts), notes)


def choose(images: Path, count: int | None = None, task: Task | None = None) -> Chosen:
    """Choose a picture, or the first ``count`` of a folder without its masks; where there are
    none, .npy files.

    Raises:
        PictureError: neither; or arrays for a task that draws over pictures.
    """
    arrays: list[Path] = []
    try:
        single = not images.is_dir() and bool(list_arrays(images))
        paths, left_out = ([], []) if single else choose_pictures(images)
    except PictureError:
        arrays = list_arrays(images) if images.is_dir() else []
        if not arrays:
            raise
        paths, left_out = [], []
    if paths:
        return Chosen(images, paths[:count], left_out)
    if task is not None and task.draws:
        raise PictureError(
            f"{printable(images)}: found .npy files, expected pictures: {task.predicts} are drawn "
            "over them"
        )
    return Chosen(images, arrays or [images], [], True, count)

# SPDX-License-Identifier: Apache-2.0
"""Pictures from disk at a model's input size, each opened once, and notes on what was converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..quant.data import choose_pictures
from ..quant.samples.reader import Reader
from .progress import Progress

Pictures = npt.NDArray[np.uint8]


class Input(Protocol):
    """What takes pictures: its input shape (height, width, channels) and the resize filter."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def resize_filter(self) -> str: ...


@dataclass(frozen=True)
class Chosen:
    """Picture files that a command was given, before they are read.

    Attributes:
        images: the picture, or the folder of pictures, that was asked for.
        paths: the pictures.
        notes: what was left out.
    """

    images: Path
    paths: list[Path]
    notes: list[str]

    def read(self, model: Input, progress: Progress) -> Given:
        """Read them as ``read_all`` does."""
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


def choose(images: Path, count: int | None = None) -> Chosen:
    """Choose a picture, or the first ``count`` of a folder without its masks."""
    paths, left_out = choose_pictures(images)
    return Chosen(images, paths[:count], left_out)

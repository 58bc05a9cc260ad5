# SPDX-License-Identifier: Apache-2.0
"""Pictures from disk at a model's input size, each opened once, and notes on what was converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


def read_chosen(images: Path, model: Input, progress: Progress, count: int | None = None) -> Given:
    """Read a picture, or the first ``count`` of a folder without its masks; see ``read_all``."""
    paths, left_out = choose_pictures(images)
    given = read_all(paths[:count], model, progress)
    return Given(given.paths, given.sizes, given.pixels, [*left_out, *given.notes])

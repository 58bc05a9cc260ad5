# SPDX-License-Identifier: Apache-2.0
"""Reads pictures at a network's size, each once, and remembers what had to be converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..names import printable
from ..pictures import Picture, PictureError, open_picture, resize

MODES = {1: ("L", "grey"), 3: ("RGB", "RGB")}
"""Channels of a network -> Pillow mode that needs no conversion, and its name for people."""


@dataclass
class Reader:
    """Pictures for one network.

    Attributes:
        height: rows of the network's input.
        width: columns of the network's input.
        channels: 1 (grey) or 3 (RGB).
        filter: resize filter, a name in ``pictures.RESIZE_FILTERS``.

    Raises:
        PictureError: no picture file has as many channels.
    """

    height: int
    width: int
    channels: int
    filter: str
    total: int = 0
    turned: list[str] = field(default_factory=list)
    converted: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.channels not in MODES:
            raise PictureError(
                f"found a network that takes {self.channels} channels, expected 1 (grey) or 3 "
                "(RGB) to read picture files; give .npy files of inputs "
                "(N, height, width, channels) instead"
            )

    def decode(self, path: Path) -> Picture:
        """Return a picture at its own size, (H, W, channels) uint8.

        Raises:
            PictureError: as ``pictures.read_picture``.
        """
        opened = open_picture(path, self.channels)
        self.total += 1
        name, pixels = printable(path.name), opened.pixels
        if opened.turned:
            self.turned.append(name)
        if opened.mode != MODES[self.channels][0]:
            self.converted.append(f"{name} was {opened.mode}")
        if pixels.shape[:2] != (self.height, self.width):
            self.resized.append(f"{name} was {pixels.shape[0]}x{pixels.shape[1]}")
        return pixels

    def read(self, path: Path) -> Picture:
        """Return a picture at the network's size; errors as ``decode``."""
        return self.resize(self.decode(path))

    def resize(self, picture: Picture) -> Picture:
        """Return a decoded picture at the network's size."""
        return resize(picture, self.height, self.width, self.filter)

    def keep(self, path: Path) -> Picture:
        """Return a picture at its own size, but at most twice the network's; errors as ``decode``.

        The bound keeps a set of large camera pictures in memory while crops still come from more
        pixels than the network sees.
        """
        picture = self.decode(path)
        return resize(picture, *bounded(picture, self.height, self.width), self.filter)

    def lines(self) -> list[str]:
        """One line on each kind of conversion that was needed."""
        size = f"resized to {self.height}x{self.width} ({self.filter})"
        return [
            *upright_lines(self.turned, self.total),
            *_line(self.converted, self.total, f"converted to {MODES[self.channels][1]}"),
            *_line(self.resized, self.total, size),
        ]


def bounded(picture: Picture, height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of a picture, at most twice those of the network."""
    return min(picture.shape[0], 2 * height), min(picture.shape[1], 2 * width)


def upright_lines(turned: Sequence[str], total: int) -> list[str]:
    """Say which pictures were turned upright, in one line or none."""
    return _line(turned, total, "turned upright as their orientation tag says")


def _line(examples: Sequence[str], total: int, done: str) -> list[str]:
    return [f"{len(examples)} of {total} pictures {done}, e.g. {examples[0]}"] if examples else []

# SPDX-License-Identifier: Apache-2.0
"""Pictures from disk at a model's input size, and notes on what had to be converted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..quant.names import printable
from ..quant.pictures import decode, is_turned, mode_of, resize
from .build import Progress
from .errors import UsageError

Pictures = npt.NDArray[np.uint8]
MODES = {1: ("L", "grey"), 3: ("RGB", "RGB")}
"""Channels of a network -> Pillow mode that needs no conversion, and its name for people."""


class Reader(Protocol):
    """What takes pictures: its input shape (height, width, channels) and the resize filter."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def resize_filter(self) -> str: ...


def read_all(
    paths: Sequence[Path], model: Reader, progress: Progress
) -> tuple[Pictures, list[str]]:
    """Read pictures at the model's input size with the card's resize filter.

    Args:
        paths: picture files.
        model: gives input shape and resize filter.
        progress: called per picture read.

    Returns:
        (N, H, W, C) uint8, and one note per kind of conversion that was needed.

    Raises:
        PictureError: a file cannot be used as a picture.
        UsageError: no picture file has as many channels as the model takes.
    """
    height, width, channels = model.shape
    if channels not in MODES:
        raise UsageError(
            f"found a network that takes {channels} channels, expected 1 (grey) or 3 (RGB) to read "
            "picture files; hand arrays to andpop.load(MODEL).run instead"
        )
    mode, colours = MODES[channels]
    out = np.empty((len(paths), height, width, channels), dtype=np.uint8)
    resized: list[str] = []
    converted: list[str] = []
    for i, path in enumerate(paths):
        picture = decode(path, channels)
        if picture.shape[:2] != (height, width):
            resized.append(f"{printable(path.name)} was {picture.shape[0]}x{picture.shape[1]}")
        found = mode_of(path)
        if found != mode:
            converted.append(f"{printable(path.name)} was {found}")
        out[i] = resize(picture, height, width, model.resize_filter)
        progress("reading pictures", i + 1, len(paths))
    notes = upright_notes(paths)
    if converted:
        notes.append(_note(converted, len(paths), f"converted to {colours}"))
    if resized:
        how = f"resized to {height}x{width} ({model.resize_filter})"
        notes.append(_note(resized, len(paths), how))
    return out, notes


def upright_notes(paths: Sequence[Path]) -> list[str]:
    """Say which pictures have an orientation tag and are turned upright.

    Raises:
        PictureError: a file cannot be used as a picture.
    """
    turned = [printable(path.name) for path in paths if is_turned(path)]
    how = "turned upright as their orientation tag says"
    return [_note(turned, len(paths), how)] if turned else []


def _note(examples: Sequence[str], total: int, done: str) -> str:
    """One line on what was done to some of the pictures, with the first as the example."""
    return f"{len(examples)} of {total} pictures {done}, e.g. {examples[0]}"

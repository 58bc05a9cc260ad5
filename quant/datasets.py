# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures: found by ``data``, split, put into an order, augmented.

NumPy and Pillow only. Everything random is a pure function of a seed, an epoch and a position, so
that a run can be resumed at any epoch and repeats itself bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .data import find
from .data.layout import Dataset, DatasetError, Sample
from .pictures import Picture, decode, natural_key, resize

ZOOM = 1.125
"""Largest magnification of a training crop."""


def find_samples(root: str | Path, classes: Sequence[str] | None = None) -> Dataset:
    """Detect the layout of a labelled folder and list its samples in natural order.

    Args:
        root: a folder in one of ``data.LAYOUTS``.
        classes: class names in the order of the labels wanted; by default those found, sorted.

    Raises:
        DatasetError: no such folder, no known layout, an empty class, or classes other than those
            asked for.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; check the path of the data set")
    layout, found = find(root)
    names = sorted({name for name, _ in found})
    if classes is not None:
        missing = [name for name in classes if name not in names]
        unknown = [name for name in names if name not in classes]
        if missing or unknown:
            raise DatasetError(
                f"{root}: found classes {', '.join(names)}, expected {', '.join(classes)}"
                + (f"; add pictures of {', '.join(missing)}" if missing else "")
                + (f"; rename or remove {', '.join(unknown)}" if unknown else "")
            )
        names = list(classes)
    samples = [replace(sample, label=names.index(name)) for name, sample in found]
    samples.sort(key=lambda sample: natural_key(sample.path))
    return Dataset(root, layout.name, tuple(names), tuple(samples))


def split(
    labels: Sequence[int], fraction: float = 1 / 8, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Divide samples into training and validation, class by class.

    Args:
        labels: label of every sample, in the order of the data set.
        fraction: share of each class for validation, rounded half up, at least one sample.
        seed: another seed, another split.

    Returns:
        Indices for training and for validation, ascending, without overlap.

    Raises:
        DatasetError: the fraction is not between 0 and 1, or a class is too small to divide.
    """
    if not 0 < fraction < 1:
        raise DatasetError(f"found validation fraction {fraction}, expected between 0 and 1")
    array = np.asarray(labels)
    validation: list[int] = []
    for label in np.unique(array):
        members = np.flatnonzero(array == label)
        if len(members) < 2:
            raise DatasetError(
                f"found {len(members)} picture of class {label}, expected at least 2 to divide"
            )
        count = min(max(int(fraction * len(members) + 0.5), 1), len(members) - 1)
        # A generator per class: a picture added to one class moves no picture of another.
        order = np.random.default_rng([seed, int(label)]).permutation(members)
        validation += order[:count].tolist()
    chosen = set(validation)
    return [i for i in range(len(array)) if i not in chosen], sorted(validation)


def load(
    samples: Iterable[Sample], height: int, width: int, channels: int, filter: str = "bilinear"
) -> list[Picture]:
    """Decode pictures into memory, at their own size but at most twice the network's.

    The bound keeps a set of large camera pictures in memory while crops still come from more
    pixels than the network sees.

    Returns:
        (H, W, channels) uint8 arrays, sizes as the pictures'.

    Raises:
        PictureError: a picture cannot be used.
    """
    pictures = []
    for sample in samples:
        picture = decode(sample.path, channels)
        pictures.append(resize(picture, *bounded(picture, height, width), filter))
    return pictures


def bounded(picture: Picture, height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of a picture, at most twice those of the network."""
    return min(picture.shape[0], 2 * height), min(picture.shape[1], 2 * width)


def balanced_order(labels: Sequence[int], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return one epoch's order of samples, in which all classes are equally frequent.

    As many draws as samples; class frequencies differ by one at most. Within a class no sample is
    drawn a second time before all were drawn.
    """
    array = np.asarray(labels)
    rng = np.random.default_rng([seed, epoch])
    names = rng.permutation(np.unique(array))
    draws = []
    for i, name in enumerate(names):
        members = np.flatnonzero(array == name)
        count = (len(array) - i + len(names) - 1) // len(names)
        rounds = -(-count // len(members))
        draws.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:count])
    return rng.permutation(np.concatenate(draws)).astype(np.int64)


@dataclass(frozen=True)
class View:
    """A crop, flipped and rotated: what happens to a picture and to its mask alike.

    Attributes:
        box: left, top, right and bottom of the crop in pixels.
        flips: bit 0 upside down, bit 1 mirrored, bit 2 transposed.
    """

    box: tuple[float, float, float, float]
    flips: int

    @classmethod
    def draw(cls, shape: tuple[int, ...], rng: np.random.Generator) -> View:
        """Return a random view of (H, W, ...) pixels, magnified by 1 to ``ZOOM``."""
        zoom = rng.uniform(1.0, ZOOM)
        rows, columns = (n / zoom for n in shape[:2])
        top = rng.uniform(0.0, shape[0] - rows)
        left = rng.uniform(0.0, shape[1] - columns)
        return cls((left, top, left + columns, top + rows), int(rng.integers(8)))

    def of(self, picture: Picture, height: int, width: int, filter: str) -> Picture:
        """Return the (height, width, C) view of a picture; a square one may be transposed."""
        view = resize(picture, height, width, filter, self.box)
        if self.flips & 1:
            view = view[::-1]
        if self.flips & 2:
            view = view[:, ::-1]
        if self.flips & 4 and height == width:
            view = view.transpose(1, 0, 2)
        return view


def augment(
    picture: Picture,
    height: int,
    width: int,
    rng: np.random.Generator,
    jitter: float = 0.2,
    filter: str = "bilinear",
) -> Picture:
    """Return a random view of a picture: crop, one of 8 flips and rotations, gain and offset.

    The crop magnifies by 1 to ``ZOOM``. Rotations by 90 degrees are left out (4 views remain) when
    the network's input is not square.

    Args:
        picture: (H, W, C) uint8.
        height: rows of the result.
        width: columns of the result.
        rng: the only source of randomness.
        jitter: gain lies in 1 +- jitter, offset in +- 128 * jitter grey levels.
        filter: resize filter, as for ``pictures.resize``.

    Returns:
        (height, width, C) uint8.
    """
    view = View.draw(picture.shape, rng)
    return jittered(view.of(picture, height, width, filter), rng, jitter)


def jittered(picture: Picture, rng: np.random.Generator, jitter: float) -> Picture:
    """Return a picture with a random gain and offset; see ``augment``."""
    gain = rng.uniform(1 - jitter, 1 + jitter)
    offset = 128 * rng.uniform(-jitter, jitter)
    return np.clip(np.floor(picture * gain + offset + 0.5), 0, 255).astype(np.uint8)

# SPDX-License-Identifier: Apache-2.0
"""Pictures with defect masks: pairs are found, checked, and read at a network's size.

A mask has the size of its picture; a pixel above ``MASK_THRESHOLD`` is defect. A mask is brought to
another size by averaging over areas (filter "box") before the threshold, which keeps the area of
thin defects: on Magnetic Tile within 2 % at 112x112.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..data import LAYOUTS
from ..data.layout import MASK_FILTER, MASK_THRESHOLD, Dataset, DatasetError, Mask, Sample
from ..names import printable
from ..pictures import Picture, decode, open_picture, resize
from .found import find_samples
from .reader import upright_lines

GOOD = ("good", "ok", "normal")
"""Classes whose pictures need no mask."""


def find_pairs(root: str | Path, only: Sequence[str] = ()) -> Dataset:
    """List the pictures of a folder that has masks; classes are kinds of defect.

    Args:
        root: a folder in a layout of ``data.LAYOUTS`` that has masks.
        only: classes to keep, all by default; the paper trains one network per kind of defect.

    Raises:
        DatasetError: no such folder, a layout without masks, a mask is missing, or a class of
            ``only`` is.
    """
    dataset = find_samples(root)
    (layout,) = (layout for layout in LAYOUTS if layout.name == dataset.layout)
    if layout.masks == "none":
        looks = "; ".join(layout.looks for layout in LAYOUTS if layout.masks != "none")
        raise DatasetError(
            f"{dataset.root}: found pictures without masks ({layout.name}), "
            f"expected one of: {looks}"
        )
    unknown = [name for name in only if name not in dataset.classes]
    if unknown:
        raise DatasetError(
            f"{dataset.root}: found no class {unknown[0]}, expected some of "
            f"{', '.join(dataset.classes)}"
        )
    samples = [s for s in dataset.samples if not only or dataset.classes[s.label] in only]
    for sample in samples:
        without = dataset.classes[sample.label].lower() in GOOD and layout.masks == "defects"
        if sample.mask is None and not without:
            raise DatasetError(
                f"{sample.path}: found no mask, expected one as {layout.looks} has it; "
                "add it or take the picture away"
            )
    if not only:
        return dataset
    names = tuple(name for name in dataset.classes if name in only)
    kept = (replace(s, label=names.index(dataset.classes[s.label])) for s in samples)
    return replace(dataset, classes=names, samples=tuple(kept))


@dataclass
class Notes:
    """Collects what is worth saying about pairs; ``lines`` says it.

    Attributes:
        height: rows that the network sees.
        width: columns that the network sees.
        filter: resize filter of the pictures.
    """

    height: int
    width: int
    filter: str
    total: int = 0
    scaled: list[str] = field(default_factory=list)
    grey: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    empty: dict[int, list[str]] = field(default_factory=dict)
    full: set[int] = field(default_factory=set)

    def read(self, sample: Sample, channels: int) -> tuple[Picture, Picture]:
        """Decode a pair as ``read_pair`` does, and take note of it."""
        opened = open_picture(sample.path, channels)
        if opened.turned:
            self.turned.append(printable(sample.path.name))
        mask = mask_at(sample, opened.pixels.shape[:2])
        self._add(sample, mask)
        return opened.pixels, mask

    def _add(self, sample: Sample, mask: Picture) -> None:
        self.total += 1
        if mask.shape[:2] != (self.height, self.width):
            self.scaled.append(f"{sample.path.name} was {mask.shape[0]}x{mask.shape[1]}")
        if ((mask > 0) & (mask < 255)).any():
            self.grey.append(_name(sample))
        if (mask > MASK_THRESHOLD).any():
            self.full.add(sample.label)
        else:
            self.empty.setdefault(sample.label, []).append(_name(sample))

    def add_resized(self, sample: Sample, before: Picture, after: Mask) -> None:
        """Take note of a defect that is gone at the network's size."""
        if not after.any() and (before > MASK_THRESHOLD).any():
            self.vanished.append(_name(sample))

    def lines(self) -> list[str]:
        """One line per remark. Classes without any defect are meant to have none."""
        empty = sum((names for label, names in self.empty.items() if label in self.full), [])
        remarks = (
            (self.grey, f"have values between 0 and 255: above {MASK_THRESHOLD} is defect"),
            (empty, "of classes with defects show none"),
            (self.vanished, "lose their defect at the network's size"),
        )
        lines = [
            f"{len(names)} of {self.total} masks {how}, e.g. {names[0]}"
            for names, how in remarks
            if names
        ]
        if self.scaled:
            lines.append(
                f"{len(self.scaled)} of {self.total} pictures resized to {self.height}x"
                f"{self.width} ({self.filter}; masks by area), e.g. {self.scaled[0]}"
            )
        return [*upright_lines(self.turned, self.total), *lines]


def read_pair(sample: Sample, channels: int) -> tuple[Picture, Picture]:
    """Decode a picture and its mask at their own size.

    Returns:
        (H, W, channels) and (H, W, 1) uint8; a picture without a mask file has an empty mask.

    Raises:
        PictureError: one of them is no picture.
        DatasetError: the mask has another size, or values that cannot be meant.
    """
    picture = decode(sample.path, channels)
    return picture, mask_at(sample, picture.shape[:2])


def mask_at(sample: Sample, size: tuple[int, ...]) -> Picture:
    """Decode the mask of a picture of ``size`` (height, width); errors as ``read_pair``.

    Returns:
        (H, W, 1) uint8, empty where there is no mask file.
    """
    mask = sample.read_mask()
    if mask is None:
        return np.zeros((*size, 1), dtype=np.uint8)
    if mask.shape[:2] != size:
        found, expected = ("x".join(map(str, shape)) for shape in (mask.shape[:2], size))
        raise DatasetError(
            f"{sample.mask}: found a mask of {found} pixels, expected {expected} as "
            f"{sample.path.name} has; export it again at the picture's size"
        )
    if sample.mask_above != MASK_THRESHOLD:
        return np.where(mask > sample.mask_above, 255, 0).astype(np.uint8)
    return mask


def resize_mask(mask: Picture, height: int, width: int) -> Mask:
    """Return the (height, width) defects of an (H, W, 1) grey mask."""
    return resize(mask, height, width, MASK_FILTER)[:, :, 0] > MASK_THRESHOLD


def load_pairs(
    samples: Sequence[Sample], channels: int, notes: Notes
) -> tuple[npt.NDArray[np.uint8], Mask]:
    """Read pictures and masks at the size a network takes.

    Args:
        samples: what to read.
        channels: 1 or 3.
        notes: size and filter; collects remarks.

    Returns:
        (N, height, width, channels) uint8 and (N, height, width) bool.

    Raises:
        PictureError, DatasetError: as ``read_pair``.
    """
    height, width = notes.height, notes.width
    pictures = np.empty((len(samples), height, width, channels), dtype=np.uint8)
    masks = np.empty((len(samples), height, width), dtype=np.bool_)
    for i, sample in enumerate(samples):
        picture, mask = notes.read(sample, channels)
        pictures[i] = resize(picture, height, width, notes.filter)
        masks[i] = resize_mask(mask, height, width)
        notes.add_resized(sample, mask, masks[i])
    return pictures, masks


def _name(sample: Sample) -> str:
    """The mask's name, or the picture's where it has none."""
    return (sample.mask or sample.path).name

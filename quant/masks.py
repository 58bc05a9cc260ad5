# SPDX-License-Identifier: Apache-2.0
"""Pictures with defect masks: pairs are checked, resized and augmented alike, pixels counted.

NumPy and Pillow only. A mask has the size of its picture; a pixel above ``MASK_THRESHOLD`` is
defect. A mask is brought to another size by averaging over areas (filter "box") before the
threshold, which keeps the area of thin defects: on Magnetic Tile within 2 % at 112x112.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .data import LAYOUTS
from .data.layout import MASK_THRESHOLD, Dataset, DatasetError, Sample
from .datasets import View, find_samples, jittered
from .pictures import Picture, decode, resize

Mask = npt.NDArray[np.bool_]
"""(H, W), or (N, H, W) for several; True is defect."""

MASK_FILTER = "box"
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
    empty: dict[int, list[str]] = field(default_factory=dict)
    full: set[int] = field(default_factory=set)

    def add(self, sample: Sample, mask: Picture) -> None:
        """Take note of a mask as it was read."""
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
            f"{len(names)} of {self.total} masks {said}, e.g. {names[0]}"
            for names, said in remarks
            if names
        ]
        if self.scaled:
            lines.append(
                f"{len(self.scaled)} of {self.total} pictures resized to {self.height}x"
                f"{self.width} ({self.filter}; masks by area), e.g. {self.scaled[0]}"
            )
        return lines


def read_pair(sample: Sample, channels: int) -> tuple[Picture, Picture]:
    """Decode a picture and its mask at their own size.

    Returns:
        (H, W, channels) and (H, W, 1) uint8; a picture without a mask file has an empty mask.

    Raises:
        PictureError: one of them is no picture.
        DatasetError: the mask has another size, or values that cannot be meant.
    """
    picture = decode(sample.path, channels)
    mask = sample.read_mask()
    if mask is None:
        return picture, np.zeros((*picture.shape[:2], 1), dtype=np.uint8)
    if mask.shape[:2] != picture.shape[:2]:
        found, expected = ("x".join(map(str, p.shape[:2])) for p in (mask, picture))
        raise DatasetError(
            f"{sample.mask}: found a mask of {found} pixels, expected {expected} as "
            f"{sample.path.name} has; export it again at the picture's size"
        )
    if sample.mask_above != MASK_THRESHOLD:
        return picture, np.where(mask > sample.mask_above, 255, 0).astype(np.uint8)
    return picture, mask


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
        picture, mask = read_pair(sample, channels)
        pictures[i] = resize(picture, height, width, notes.filter)
        masks[i] = resize_mask(mask, height, width)
        notes.add(sample, mask)
        notes.add_resized(sample, mask, masks[i])
    return pictures, masks


def augment_pair(
    picture: Picture,
    mask: Picture,
    height: int,
    width: int,
    rng: np.random.Generator,
    jitter: float = 0.2,
    filter: str = "bilinear",
) -> tuple[Picture, Mask]:
    """Return a random view of a picture, as ``datasets.augment``, and the same view of its mask.

    Args:
        picture: (H, W, C) uint8.
        mask: (H, W, 1) uint8.
        height: rows of the result.
        width: columns of the result.
        rng: the only source of randomness.
        jitter: strength of gain and offset, of the picture alone.
        filter: resize filter of the picture.

    Returns:
        (height, width, C) uint8 and (height, width) bool.
    """
    view = View.draw(picture.shape, rng)
    seen = jittered(view.of(picture, height, width, filter), rng, jitter)
    return seen, view.of(mask, height, width, MASK_FILTER)[:, :, 0] > MASK_THRESHOLD


FIGURES = ("accuracy", "precision", "recall", "fpr", "fnr", "mae", "dice")
"""Names of the paper's figures (section 4.3.2)."""


@dataclass(frozen=True)
class Counts:
    """Pixels by truth and prediction: true and false positives, false and true negatives."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    def figures(self) -> dict[str, float | None]:
        """Return ``FIGURES``; None where nothing is there to divide by.

        Without true defects there is no Dice either: it would be 0 whatever was predicted.

        With masks of 0 and 1 the mean absolute error is the share of wrong pixels,
        1 - accuracy, as in the paper's table 4.
        """
        n = self.tp + self.fp + self.fn + self.tn
        shares = (
            (self.tp + self.tn, n),
            (self.tp, self.tp + self.fp),
            (self.tp, self.tp + self.fn),
            (self.fp, self.fp + self.tn),
            (self.fn, self.tp + self.fn),
            (self.fp + self.fn, n),
            (2 * self.tp, 2 * self.tp + self.fp + self.fn if self.tp + self.fn else 0),
        )
        values = (part / whole if whole else None for part, whole in shares)
        return dict(zip(FIGURES, values, strict=True))


def count_pixels(found: Mask, truth: Mask) -> Counts:
    """Compare masks of one shape pixel by pixel."""
    tp, fp, fn = (
        int(np.count_nonzero(part)) for part in (found & truth, found & ~truth, ~found & truth)
    )
    return Counts(tp, fp, fn, truth.size - tp - fp - fn)


def score(
    found: Mask, truth: Mask, labels: Sequence[int], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of predicted masks, over all pixels and per class of the pictures.

    Args:
        found: (N, H, W) predictions.
        truth: (N, H, W).
        labels: class of every picture.
        classes: names of the classes.

    Returns:
        ``{"n", <figures>, "pixels": {tp, fp, fn, tn}, "per_class": {name: the same}}`` where n is
        pictures; classes without pictures are left out.
    """
    per_picture = [count_pixels(f, t) for f, t in zip(found, truth, strict=True)]

    def row(chosen: list[Counts]) -> dict[str, Any]:
        counts = sum(chosen, Counts())
        return {"n": len(chosen), **counts.figures(), "pixels": asdict(counts)}

    per_class = {
        name: [c for c, label in zip(per_picture, labels, strict=True) if label == i]
        for i, name in enumerate(classes)
    }
    rows = {name: row(chosen) for name, chosen in per_class.items() if chosen}
    return {**row(per_picture), "per_class": rows}


def _name(sample: Sample) -> str:
    """The mask's name, or the picture's where it has none."""
    return (sample.mask or sample.path).name

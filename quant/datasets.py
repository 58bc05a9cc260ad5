# SPDX-License-Identifier: Apache-2.0
"""Finds labelled pictures in the folder layouts of surface-inspection data sets, splits, augments.

NumPy and Pillow only. Everything random is a pure function of a seed, an epoch and a position, so
that a run can be resumed at any epoch and repeats itself bit by bit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from .pictures import SUFFIXES, Picture, decode, natural_key, resize

MASK_THRESHOLD = 127
"""A mask pixel above this is defect: Magnetic Tile masks carry values in between."""

ZOOM = 1.125
"""Largest magnification of a training crop."""


class DatasetError(ValueError):
    """A folder that is no data set, or not the one asked for; the message is one line."""


@dataclass(frozen=True)
class Box:
    """One annotated defect, in pixels of the original picture."""

    name: str
    xmin: int
    ymin: int
    xmax: int
    ymax: int


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    ``mask`` is a picture whose pixels above ``MASK_THRESHOLD`` are defect, None where there is no
    mask file; ``group`` names what the picture was cut from, where the data set tells (texture,
    part), and ``subset`` the data set's own division ("train", "test" or "").
    """

    path: Path
    label: int
    mask: Path | None = None
    boxes: tuple[Box, ...] = ()
    group: str = ""
    subset: str = ""


@dataclass(frozen=True)
class Dataset:
    """Samples of one folder; ``label`` of a sample indexes ``classes``."""

    root: Path
    layout: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]


def find_samples(root: str | Path, classes: Sequence[str] | None = None) -> Dataset:
    """Detect the layout of a labelled folder and list its samples in natural order.

    Layouts: ``neu-det`` (``images/<class>/*.jpg`` or flat ``IMAGES/<class>_<n>.jpg``, VOC boxes in
    ``annotations``), ``magnetic-tile`` (``MT_<Class>/Imgs``), ``dagm`` (``Class<N>/{Train,Test}``
    with ``Label``), ``kolektor-sdd`` (``kos<NN>/Part<N>.jpg``), and ``folders``: one folder of
    pictures per class.

    Args:
        root: the folder.
        classes: class names in the order of the labels wanted; by default those found, sorted.

    Raises:
        DatasetError: no such folder, no known layout, an empty class, or classes other than those
            asked for.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; check the path of the data set")
    layout, found = next(
        ((name, found) for name, finder in _LAYOUTS.items() if (found := finder(root))), ("", [])
    )
    if not found:
        raise DatasetError(
            f"{root}: found no labelled pictures, expected one folder of pictures per class, or "
            "NEU-DET (images/, annotations/), Magnetic Tile (MT_<Class>/Imgs), DAGM "
            "(Class<N>/Train) or KolektorSDD (kos<NN>/Part<N>.jpg)"
        )
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
    return Dataset(root, layout, tuple(names), tuple(samples))


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


Found = list[tuple[str, Sample]]


def _pictures(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]


def _folders(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _child(folder: Path, name: str) -> Path | None:
    """Return the subfolder of that name in any case: IMAGES, images."""
    return next((p for p in _folders(folder) if p.name.lower() == name), None)


def _neu_det(root: Path) -> Found:
    images = _child(root, "images")
    if images is None:
        return []
    annotations = _child(root, "annotations")
    found: Found = []
    for path in _pictures(images):
        match = re.fullmatch(r"(.+)_\d+", path.stem)
        if match is None:
            raise DatasetError(f"{path}: expected a name <class>_<number> in a flat NEU-DET folder")
        boxes = _boxes(annotations / f"{path.stem}.xml") if annotations else ()
        found.append((match[1], Sample(path, -1, boxes=boxes)))
    for folder in _folders(images):
        for path in _pictures(folder):
            xml = annotations / folder.name / f"{path.stem}.xml" if annotations else None
            found.append((folder.name, Sample(path, -1, boxes=_boxes(xml) if xml else ())))
    return found


def _boxes(path: Path) -> tuple[Box, ...]:
    """Read the VOC boxes of one picture; a picture without an annotation file has none."""
    if not path.is_file():
        return ()
    try:
        return tuple(
            Box(
                item.findtext("name", ""),
                *(int(item.findtext(f"bndbox/{key}", "")) for key in Box.__match_args__[1:]),
            )
            for item in ElementTree.parse(path).iter("object")
        )
    except (ElementTree.ParseError, ValueError) as e:
        raise DatasetError(f"{path}: found no VOC annotation ({e}), repair or remove it") from e


def _magnetic_tile(root: Path) -> Found:
    found: Found = []
    for folder in _folders(root):
        images = _child(folder, "imgs")
        if not folder.name.startswith("MT_") or images is None:
            continue
        for path in _pictures(images):
            if path.suffix.lower() == ".jpg":
                mask = path.with_suffix(".png")
                found.append(
                    (folder.name[3:], Sample(path, -1, mask=mask if mask.is_file() else None))
                )
    return found


def _dagm(root: Path) -> Found:
    found: Found = []
    for texture in _folders(root):
        if not re.fullmatch(r"Class\d+", texture.name):
            continue
        for subset in _folders(texture):
            if subset.name.lower() not in ("train", "test"):
                continue
            labels = _child(subset, "label")
            for path in _pictures(subset):
                mask = labels / f"{path.stem}_label{path.suffix}" if labels else None
                mask = mask if mask is not None and mask.is_file() else None
                sample = Sample(path, -1, mask=mask, group=texture.name, subset=subset.name.lower())
                found.append(("good" if mask is None else "defect", sample))
    return found


def _kolektor_sdd(root: Path) -> Found:
    found: Found = []
    for part in _folders(root):
        if not re.fullmatch(r"kos\d+", part.name):
            continue
        for path in _pictures(part):
            if path.suffix.lower() != ".jpg":
                continue
            mask = path.with_name(f"{path.stem}_label.bmp")
            if not mask.is_file():
                raise DatasetError(f"{path}: found no mask, expected {mask.name} beside it")
            defect = bool((decode(mask, 1) > MASK_THRESHOLD).any())
            sample = Sample(path, -1, mask=mask, group=part.name)
            found.append(("defect" if defect else "good", sample))
    return found


def _class_folders(root: Path) -> Found:
    found: Found = []
    folders = _folders(root)
    for folder in folders:
        pictures = _pictures(folder)
        if not pictures and any(_pictures(other) for other in folders):
            raise DatasetError(
                f"{folder}: found no pictures of this class; add some or remove the folder"
            )
        found += [(folder.name, Sample(path, -1)) for path in pictures]
    return found


_LAYOUTS: dict[str, Callable[[Path], Found]] = {
    "neu-det": _neu_det,
    "magnetic-tile": _magnetic_tile,
    "dagm": _dagm,
    "kolektor-sdd": _kolektor_sdd,
    "folders": _class_folders,
}

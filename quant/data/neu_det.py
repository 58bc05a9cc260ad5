# SPDX-License-Identifier: Apache-2.0
"""NEU-DET: pictures in images by class, or flat with the class in the name; VOC boxes.

NEU-CLS: the same names, flat, without the folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ..folders import Folders
from .layout import DatasetError, Found, Layout, Sample

KINDS = frozenset({
    "cr", "in", "pa", "ps", "rs", "sc",
    "crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches",
})  # fmt: skip
"""Beginnings of the names in NEU-CLS; other pictures in one flat folder have no class."""
NAME = re.compile(r"(.+)_\d+")


@dataclass(frozen=True)
class Box:
    """One annotated defect, in pixels of the original picture."""

    name: str
    xmin: int
    ymin: int
    xmax: int
    ymax: int


def _find(root: Path, folders: Folders) -> Found:
    images = folders.child(root, "images")
    if images is None:
        return _neu_cls(root, folders)
    annotations = folders.child(root, "annotations")

    def sample(path: Path, inside: str = "") -> Sample:
        folder = annotations / inside if annotations else None
        return Sample(path, annotation=folders.file(folder, f"{path.stem}.xml") if folder else None)

    found: Found = []
    for path in folders.pictures(images):
        match = NAME.fullmatch(path.stem)
        if match is None:
            raise DatasetError(
                f"{path}: expected a name <class>_<number> in a flat NEU-DET folder, or one folder "
                "of pictures per class"
            )
        found.append((match[1], sample(path)))
    _check_labels(root, annotations, found, folders)
    for kind in folders.folders(images):
        found += [(kind.name, sample(path, kind.name)) for path in folders.pictures(kind)]
    return found


def _neu_cls(root: Path, folders: Folders) -> Found:
    names = [(NAME.fullmatch(path.stem), path) for path in folders.pictures(root)]
    if not all(match and match[1].lower() in KINDS for match, _ in names):
        return []
    return [(match[1], Sample(path)) for match, path in names if match]


def _check_labels(root: Path, annotations: Path | None, flat: Found, folders: Folders) -> None:
    """Refuse flat names that cannot be meant as classes, because labels stand elsewhere."""
    if not flat:
        return
    names = sorted({name for name, _ in flat})
    if annotations is not None and folders.holds_only(annotations, frozenset({".json"})):
        raise DatasetError(
            f"{annotations}: found boxes as COCO has them, which give a picture no class, "
            "expected one folder of pictures per class; sort the pictures by class"
        )
    boxes = [(name, box) for name, sample in flat for box in _readable_boxes(sample)]
    if boxes and not any(_agree(name, box.name) for name, box in boxes):
        raise DatasetError(
            f"{root}: found names of pictures that begin with {', '.join(names)}, but boxes of "
            f"{', '.join(sorted({box.name for _, box in boxes}))}, expected names "
            "<class>_<number>, or one folder of pictures per class"
        )


def _readable_boxes(sample: Sample) -> tuple[Box, ...]:
    try:
        return read_boxes(sample)
    except (DatasetError, OSError):
        return ()  # a classifier does without


def _agree(name: str, box: str) -> bool:
    """Tell whether a name may stand for the class of a box: crazing or Cr for crazing."""
    short, long = sorted((re.sub(r"[\W_]", "", text.lower()) for text in (name, box)), key=len)
    return bool(short) and long.startswith(short)


def read_boxes(sample: Sample) -> tuple[Box, ...]:
    """Read the VOC boxes of a picture; one without an annotation file has none.

    Raises:
        DatasetError: the file is no VOC annotation.
    """
    path = sample.annotation
    if path is None:
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


LAYOUT = Layout(name="neu-det", looks="NEU-DET (images/, annotations/)", find=_find, general=7)

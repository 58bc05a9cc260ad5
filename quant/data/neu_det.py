# SPDX-License-Identifier: Apache-2.0
"""NEU-DET: pictures in images by class, or flat with the class in the name; VOC boxes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ..folders import Folders
from .layout import DatasetError, Found, Layout, Sample


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
        return []
    annotations = folders.child(root, "annotations")

    def sample(path: Path, inside: str = "") -> Sample:
        folder = annotations / inside if annotations else None
        return Sample(path, annotation=folders.file(folder, f"{path.stem}.xml") if folder else None)

    found: Found = []
    for path in folders.pictures(images):
        match = re.fullmatch(r"(.+)_\d+", path.stem)
        if match is None:
            raise DatasetError(
                f"{path}: expected a name <class>_<number> in a flat NEU-DET folder, or one folder "
                "of pictures per class"
            )
        found.append((match[1], sample(path)))
    for kind in folders.folders(images):
        found += [(kind.name, sample(path, kind.name)) for path in folders.pictures(kind)]
    return found


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


LAYOUT = Layout(name="neu-det", looks="NEU-DET (images/, annotations/)", find=_find)

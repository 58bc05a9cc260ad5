# SPDX-License-Identifier: Apache-2.0
"""Pictures in one folder, masks of the same names in another, as SD-saliency-900 has them.

The kind of a defect is the beginning of the name (In_1, Pa_17) where there are several beginnings;
otherwise a picture is good or defect by its mask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..folders import Folders
from .layout import DatasetError, Found, Layout, Sample
from .mask_names import ENDS, MASKS, bare

PICTURES = ("source images", "images", "image", "imgs", "img", "jpegimages", "pictures")
SALIENCY_KINDS = {"In", "Pa", "Sc"}
"""Inclusion, patches, scratches: the kinds of SD-saliency-900."""
LEVELS = 3
"""Most folders between a mask and the folder of masks, counted from its own."""


def _find(root: Path, folders: Folders) -> Found:
    images = folders.child(root, *PICTURES)
    masks = None if images is None else next(mask_folders(images, folders), None)
    if images is None or masks is None:
        return []
    samples = []
    for path in folders.pictures(images):
        mask = _mask_in(masks, path, folders)
        if mask is None:
            raise DatasetError(
                f"{path}: found no mask, expected {path.stem}.png in {masks}; "
                "add it or take the picture away"
            )
        samples.append(Sample(path, mask=mask))
    kinds = [re.fullmatch(r"(.*\D)_\d+", sample.path.stem) for sample in samples]
    named = [match[1] for match in kinds if match]
    if len(named) == len(samples) and (len(set(named)) > 1 or set(named) <= SALIENCY_KINDS):
        return list(zip(named, samples, strict=True))
    return [("defect" if sample.shows_defect() else "good", sample) for sample in samples]


def mask_folders(images: Path, folders: Folders) -> Iterator[Path]:
    """Folders beside that of the pictures that hold pictures of the same names."""
    stems = {path.stem for path in folders.pictures(images)}
    for name in MASKS:
        folder = folders.child(images.parent, name)
        files = folders.pictures(folder) if folder else []
        if folder and any({file.stem, *bare(file.stem)} & stems for file in files):
            yield folder


def _mask_in(folder: Path, path: Path, folders: Folders) -> Path | None:
    stems = (path.stem + end for end in ("", *ENDS))
    return next((mask for stem in stems if (mask := folders.picture(folder, stem))), None)


def _mask_of(path: Path, folders: Folders) -> Path | None:
    for room, inside in _rooms(path, PICTURES):
        for name in MASKS:
            folder = folders.child(room.parent, name)
            if folder and (mask := _mask_in(folder / inside, path, folders)):
                return mask
    return None


def _picture_of(path: Path, folders: Folders) -> Path | None:
    for room, inside in _rooms(path, MASKS):
        for name in PICTURES:
            folder = folders.child(room.parent, name)
            stems = [path.stem, *bare(path.stem)] if folder else []
            for stem in stems:
                if folder and (picture := folders.picture(folder / inside, stem)):
                    return picture
    return None


def _rooms(path: Path, names: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """Folders of these names that a file lies in, and where in them."""
    folder = path.absolute().parent
    return [
        (room, folder.relative_to(room))
        for room in [folder, *folder.parents][:LEVELS]
        if room.name.lower() in names
    ]


LAYOUT = Layout(
    name="mask-folder",
    looks="a folder of pictures beside one of masks (Source images and Ground truth, "
    "images and masks)",
    find=_find,
    mask_of=_mask_of,
    picture_of=_picture_of,
    masks="every",
    general=5,
)

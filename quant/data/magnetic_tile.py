# SPDX-License-Identifier: Apache-2.0
"""Magnetic Tile: a folder per kind of defect, the mask beside its picture as a .png."""

from __future__ import annotations

from pathlib import Path

from ..folders import Folders
from .layout import Found, Layout, Sample

PICTURES = (".jpg", ".jpeg")


def _find(root: Path, folders: Folders) -> Found:
    found: Found = []
    for kind in folders.folders(root):
        images = folders.child(kind, "imgs")
        if kind.name.startswith("MT_") and images is not None:
            for path in folders.pictures(images):
                if path.suffix.lower() in PICTURES:
                    found.append((kind.name[3:], Sample(path, mask=_mask_of(path, folders))))
    return found


def _in_place(path: Path) -> bool:
    folder = path.absolute().parent
    return folder.name.lower() == "imgs" and folder.parent.name.startswith("MT_")


def _mask_of(path: Path, folders: Folders) -> Path | None:
    if not _in_place(path) or path.suffix.lower() not in PICTURES:
        return None
    return folders.file(path.parent, f"{path.stem}.png")


def _picture_of(path: Path, folders: Folders) -> Path | None:
    if not _in_place(path) or path.suffix.lower() != ".png":
        return None
    return folders.file(path.parent, f"{path.stem}.jpg") or path.with_suffix(".jpg")


LAYOUT = Layout(
    name="magnetic-tile",
    looks="Magnetic Tile (MT_<Class>/Imgs/*.jpg with a .png each)",
    find=_find,
    mask_of=_mask_of,
    picture_of=_picture_of,
    masks="every",
)

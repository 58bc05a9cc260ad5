# SPDX-License-Identifier: Apache-2.0
"""KolektorSDD2: train and test, the mask beside its picture as <name>_GT.png."""

from __future__ import annotations

from pathlib import Path

from ..folders import Folders
from .layout import DatasetError, Found, Layout, Sample

LABEL = "_GT"
MASK_ABOVE = 0


def _find(root: Path, folders: Folders) -> Found:
    found: Found = []
    for subset in ("train", "test"):
        folder = folders.child(root, subset)
        paths = folders.pictures(folder) if folder else []
        masks = {path: _mask_of(path, folders) for path in paths}
        if not any(masks.values()):
            continue
        for path, mask in masks.items():
            if _picture_of(path, folders) is not None:
                continue
            if mask is None:
                raise DatasetError(
                    f"{path}: found no mask, expected {path.stem}{LABEL}.png beside it"
                )
            sample = Sample(path, mask=mask, mask_above=MASK_ABOVE, subset=subset)
            found.append(("defect" if sample.shows_defect() else "good", sample))
    return found


def _mask_of(path: Path, folders: Folders) -> Path | None:
    if not path.stem.isdecimal():
        return None
    return folders.file(path.parent, f"{path.stem}{LABEL}.png")


def _picture_of(path: Path, folders: Folders) -> Path | None:
    stem = path.stem.removesuffix(LABEL)
    return folders.picture(path.parent, stem) if stem != path.stem and stem.isdecimal() else None


LAYOUT = Layout(
    name="kolektor-sdd2",
    looks="KolektorSDD2 (train/<n>.png with <n>_GT.png each)",
    find=_find,
    mask_of=_mask_of,
    picture_of=_picture_of,
    mask_above=MASK_ABOVE,
    masks="every",
    general=2,
)

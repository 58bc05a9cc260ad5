# SPDX-License-Identifier: Apache-2.0
"""KolektorSDD: a folder per piece, the mask beside its picture as <name>_label.bmp."""

from __future__ import annotations

import re
from pathlib import Path

from ..folders import Folders
from .layout import DatasetError, Found, Layout, Sample

NAME = re.compile(r"Part\d+")
LABEL = "_label"
MASK_ABOVE = 0
"""As distributed the masks hold 0 and 1, one of them 2."""


def _find(root: Path, folders: Folders) -> Found:
    found: Found = []
    for piece in folders.folders(root):
        if not re.fullmatch(r"kos\d+", piece.name):
            continue
        for path in folders.pictures(piece):
            if path.suffix.lower() != ".jpg":
                continue
            mask = _mask_of(path, folders)
            if mask is None:
                raise DatasetError(
                    f"{path}: found no mask, expected {path.stem}{LABEL}.bmp beside it"
                )
            sample = Sample(path, mask=mask, mask_above=MASK_ABOVE, group=piece.name)
            found.append(("defect" if sample.shows_defect() else "good", sample))
    return found


def _mask_of(path: Path, folders: Folders) -> Path | None:
    if not NAME.fullmatch(path.stem):
        return None
    return folders.file(path.parent, f"{path.stem}{LABEL}.bmp")


def _picture_of(path: Path, folders: Folders) -> Path | None:
    stem = path.stem.removesuffix(LABEL)
    if path.suffix.lower() != ".bmp" or stem == path.stem or not NAME.fullmatch(stem):
        return None
    return folders.file(path.parent, f"{stem}.jpg") or path.with_name(f"{stem}.jpg")


LAYOUT = Layout(
    name="kolektor-sdd",
    looks="KolektorSDD (kos<NN>/Part<N>.jpg with Part<N>_label.bmp each)",
    find=_find,
    mask_of=_mask_of,
    picture_of=_picture_of,
    mask_above=MASK_ABOVE,
    masks="every",
    general=1,
)

# SPDX-License-Identifier: Apache-2.0
"""DAGM 2007: textures divided into Train and Test, masks of defects in Label, the rest has none."""

from __future__ import annotations

import re
from pathlib import Path

from ..folders import Folders
from .layout import Found, Layout, Sample

LABEL = "_label"
FOLDER = "label"


def _find(root: Path, folders: Folders) -> Found:
    found: Found = []
    # A texture alone is a data set too.
    for texture in [root.absolute(), *folders.folders(root)]:
        if not re.fullmatch(r"Class\d+", texture.name):
            continue
        for subset in folders.folders(texture):
            if subset.name.lower() not in ("train", "test"):
                continue
            for path in folders.pictures(subset):
                mask = _mask_of(path, folders)
                sample = Sample(path, mask=mask, group=texture.name, subset=subset.name.lower())
                found.append(("good" if mask is None else "defect", sample))
    return found


def _mask_of(path: Path, folders: Folders) -> Path | None:
    labels = folders.child(path.parent, FOLDER)
    return folders.file(labels, f"{path.stem}{LABEL}{path.suffix}") if labels else None


def _picture_of(path: Path, folders: Folders) -> Path | None:
    if path.absolute().parent.name.lower() != FOLDER or not path.stem.endswith(LABEL):
        return None
    return path.absolute().parent.with_name(path.stem.removesuffix(LABEL) + path.suffix)


LAYOUT = Layout(
    name="dagm",
    looks="DAGM (Class<N>/Train with Label)",
    find=_find,
    mask_of=_mask_of,
    picture_of=_picture_of,
    masks="defects",
    general=3,
)

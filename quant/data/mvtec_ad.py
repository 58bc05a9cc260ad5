# SPDX-License-Identifier: Apache-2.0
"""MVTec AD: train/good, test/<kind>, and ground_truth/<kind> with the masks of the defects.

A mask is called <n>_mask, or <n> as in BTAD.
"""

from __future__ import annotations

from pathlib import Path

from ..folders import Folders
from .layout import Found, Layout, Sample

LABEL = "_mask"
TRUTH = "ground_truth"


def _find(root: Path, folders: Folders) -> Found:
    subsets = {name: folders.child(root, name) for name in ("train", "test")}
    if None in subsets.values() or folders.child(root, TRUTH) is None:
        return []
    return [
        (kind.name, Sample(path, mask=_mask_of(path, folders), subset=name))
        for name, subset in subsets.items()
        if subset is not None
        for kind in folders.folders(subset)
        for path in folders.pictures(kind)
    ]


def _mask_of(path: Path, folders: Folders) -> Path | None:
    kind = path.absolute().parent
    truth = folders.child(kind.parent.parent, TRUTH) if kind.parent.name == "test" else None
    if truth is None:
        return None
    names = (path.stem + LABEL, path.stem)
    return next((mask for n in names if (mask := folders.picture(truth / kind.name, n))), None)


def _picture_of(path: Path, folders: Folders) -> Path | None:
    kind = path.absolute().parent
    if kind.parent.name.lower() != TRUTH:
        return None
    pictures = kind.parent.with_name("test") / kind.name
    stem = path.stem.removesuffix(LABEL)
    if picture := folders.picture(pictures, stem):
        return picture
    return pictures / (stem + path.suffix) if stem != path.stem else None


LAYOUT = Layout(
    name="mvtec-ad",
    looks="MVTec AD (train/good, test/<kind>, ground_truth/<kind>)",
    find=_find,
    mask_of=_mask_of,
    picture_of=_picture_of,
    masks="defects",
    general=4,
)

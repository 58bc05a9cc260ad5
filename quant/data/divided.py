# SPDX-License-Identifier: Apache-2.0
"""Sets divided into train and val, and YOLO's boxes: no class of a picture is read from them.

Refused, each in one line. Where every part has a folder per class, which part to train on is the
user's choice and no guess of ours.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..folders import Folders
from .layout import DatasetError, Found, Layout
from .mask_folder import mask_folders

IMAGES = ("images", "image", "imgs", "jpegimages")
ROOMS = {
    *IMAGES, "source images", "labels", "annotations", "masks", "ground truth", "ground_truth",
    "groundtruth", "gt", "segmentationclass",
}  # fmt: skip
"""Folders that sort by kind of file and name no class."""
PARTS = {
    "train", "training", "val", "valid", "validation", "test", "testing", "trainval", "holdout",
}  # fmt: skip
BESIDE = {
    "", "data", "dataset", "defect", "gt", "image", "images", "img", "imgs", "lab", "label",
    "labels", "mask", "masks", "obj", "part", "picture", "pictures", "samples", "set", "split",
}  # fmt: skip
"""Words that make no class of a part's name: obj_train_data, train_images, TestSet, val2017."""
WANTED = "expected one folder of pictures per class"


def is_part(folder: Path) -> bool:
    """Tell whether a folder's name is that of a part of a divided set, and so of no class."""
    camel = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder.name)
    words = set(re.split(r"[\W\d_]+", camel.lower()))
    return bool(words & PARTS) and words <= PARTS | BESIDE


def _find(root: Path, folders: Folders) -> Found:
    images = folders.child(root, *IMAGES)
    parts = [folder for folder in folders.folders(images or root) if is_part(folder)]
    if parts:
        names = ", ".join(part.relative_to(root).as_posix() for part in parts)
        if images is None and all(_has_classes(part, folders) for part in parts):
            raise DatasetError(
                f"{root}: found a set divided into {names}, {WANTED}; "
                f"give one part of it, e.g. {parts[0]}"
            )
        raise DatasetError(
            f"{root}: found {names}, the parts of a divided set (of YOLO or COCO, for instance) "
            f"and no classes, {WANTED}; sort the pictures by class"
        )
    labels = folders.child(root, "labels")
    if images is not None and labels is not None and folders.has(labels, ".txt"):
        raise DatasetError(
            f"{labels}: found boxes as YOLO has them, which give a picture no class, {WANTED}; "
            "sort the pictures by class"
        )
    return []


def _has_classes(part: Path, folders: Folders) -> bool:
    """Tell whether a part has folders of pictures that may be classes, or a folder of masks."""
    images = folders.child(part, *IMAGES)
    if images is not None and any(mask_folders(images, folders)):
        return True
    inside = [f for f in folders.folders(images or part) if f.name.lower() not in ROOMS]
    return any(folders.pictures(folder) for folder in inside)


LAYOUT = Layout(name="divided", looks="", find=_find, general=6)

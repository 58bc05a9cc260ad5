# SPDX-License-Identifier: Apache-2.0
"""Layouts of data sets, one file each; adding one is a file here and nothing else.

NumPy and Pillow only. Every command asks here what is a picture, what a mask, and of which class.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from ..folders import Folders
from ..names import printable
from ..pictures import PictureError, list_pictures
from .layout import DatasetError, Found, Layout, Sample


def _layouts() -> tuple[Layout, ...]:
    """Return the ``LAYOUT`` of every file of this folder that has one."""
    files = (import_module(f".{found.name}", __name__) for found in iter_modules(__path__))
    layouts = [file.LAYOUT for file in files if hasattr(file, "LAYOUT")]
    return tuple(sorted(layouts, key=lambda layout: layout.general))


LAYOUTS = _layouts()
"""Every layout; the first that finds something is taken."""
LEVELS = 3
"""How far below a folder a data set is looked for, to name it in a message."""


def find(root: Path) -> tuple[Layout, Found]:
    """Return the layout of a folder, and its pictures with their classes' names.

    Raises:
        DatasetError: no known layout, or one that cannot be used.
    """
    folders = Folders()
    for layout in LAYOUTS:
        found = layout.find(root, folders)
        if found:
            _check_names({name for name, _ in found}, root)
            return layout, found
    below = _set_below(root, folders)
    if below is not None:
        raise DatasetError(
            f"{root}: found no labelled pictures, but a data set below; give its folder: {below}"
        )
    looks = "; ".join(layout.looks for layout in reversed(LAYOUTS) if layout.looks)
    raise DatasetError(f"{root}: found no labelled pictures, expected one of: {looks}")


def _set_below(root: Path, folders: Folders, levels: int = LEVELS) -> Path | None:
    """Return the first folder in or below one that is a data set, as archives wrap them."""
    for folder in folders.folders(root):
        try:
            if any(layout.find(folder, folders) for layout in LAYOUTS):
                return folder
        except ValueError:
            return folder  # it has a layout, and a fault that is told when it is asked for
        if levels > 1 and (below := _set_below(folder, folders, levels - 1)):
            return below
    return None


def _check_names(classes: Iterable[str], root: Path) -> None:
    for name in classes:
        # What is not UTF-8 fits in no card.
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise DatasetError(
                f"{printable(root)}: found a class named {printable(name)}, expected a name in "
                "UTF-8; rename the folder"
            )


def picture_of(path: Path, folders: Folders) -> Path | None:
    """Return where the picture lies whose mask a file is, None if the file is no mask."""
    places = (layout.picture_of(path, folders) for layout in LAYOUTS)
    return next((place for place in places if place is not None), None)


def mask_of(path: Path, folders: Folders) -> Sample | None:
    """Return a picture with its mask, None if it has none."""
    for layout in LAYOUTS:
        mask = layout.mask_of(path, folders)
        if mask is not None and mask != path:
            return Sample(path, mask=mask, mask_above=layout.mask_above)
    return None


def choose_pictures(path: Path) -> tuple[list[Path], list[str]]:
    """List the pictures of a folder without the masks of pictures, and say how many those were.

    A single file is what it is asked to be.

    Raises:
        PictureError: nothing there, or nothing but masks.
    """
    found = list_pictures(path)
    if path.is_file():
        return found, _masks_are_said(_masks(found))
    masks = _masks(found)
    chosen = [file for file in found if file not in masks]
    if not chosen:
        raise PictureError(
            f"{printable(path)}: found masks alone, expected the pictures they belong to; "
            f"give their folder, e.g. {printable(masks[found[0]].parent)}"
        )
    if not masks:
        return chosen, []
    example = printable(next(file for file in found if file in masks).name)
    return chosen, [f"{len(masks)} of {len(found)} files are masks of pictures, e.g. {example}"]


def _masks(paths: Iterable[Path]) -> dict[Path, Path]:
    """Mask -> picture, of the files that are masks."""
    folders = Folders()
    places = ((path, picture_of(path, folders)) for path in paths)
    return {path: picture for path, picture in places if picture is not None}


def _masks_are_said(masks: dict[Path, Path]) -> list[str]:
    return [
        f"{printable(mask.name)} is the mask of {printable(picture.name)}, taken for a picture here"
        for mask, picture in masks.items()
    ]

# SPDX-License-Identifier: Apache-2.0
"""Your own pictures: one folder per class. A mask may lie beside its picture.

The mask of a.jpg is a_mask.png (or _label, _gt, _seg) or a.png, if that is black and white as masks
are: two pictures may have one name, and a bottle's picture may be called after its label.
"""

from __future__ import annotations

from pathlib import Path

from ..folders import SUFFIXES, Folders
from ..pictures import PictureError, decode
from .divided import ROOMS
from .layout import DatasetError, Found, Layout, Sample
from .mask_names import ENDS, MASKS, bare

TABLES = frozenset({".xml", ".json", ".csv"})
"""Ends of files with boxes or tables, which a classifier does not need."""
EDGE = 16
"""A grey value that far from black or white at most is that of a mask."""
SHARE = 0.9
"""Least share of such pixels. Masks of Magnetic Tile have 98 %, its pictures at most 38 %."""


def _find(root: Path, folders: Folders) -> Found:
    found: Found = []
    kinds = [kind for kind in folders.folders(root) if not _beside(kind, folders)]
    pictures = {
        kind: [path for path in folders.pictures(kind) if _picture_of(path, folders) is None]
        for kind in kinds
    }
    if not any(pictures.values()):
        return []
    for kind, paths in pictures.items():
        if kind.name.lower() in ROOMS:
            raise DatasetError(
                f"{kind}: found a folder of that name among classes, expected one folder of "
                "pictures per class; sort the pictures by class"
            )
        if not paths:
            raise DatasetError(
                f"{kind}: found no pictures of this class; add some or remove the folder"
            )
        files = (below for f in folders.folders(kind) for below in folders.walk(f))
        deeper = next((below for below in files if _picture_of(below, folders) is None), None)
        if deeper is not None:
            raise DatasetError(
                f"{deeper.parent}: found pictures below a class's folder, expected all of them in "
                f"{kind}; move them there or take them away"
            )
        found += [(kind.name, Sample(path)) for path in paths]
    return found


def _beside(kind: Path, folders: Folders) -> bool:
    """Tell whether a folder holds masks of other pictures alone, or files of boxes alone."""
    pictures = list(folders.walk(kind))
    if pictures:
        return all(_picture_of(path, folders) is not None for path in pictures)
    return folders.holds_only(kind, TABLES)


def _mask_of(path: Path, folders: Folders) -> Path | None:
    others = [folders.picture(path.parent, path.stem + end) for end in ENDS]
    if not _is_png(path):
        others.append(folders.file(path.parent, f"{path.stem}.png"))
    for room in _mask_rooms(path.absolute().parent, folders):
        others += [folders.picture(room, path.stem + end) for end in ("", *ENDS)]
    found = (other for other in others if other is not None and _is_mask(other, path))
    return next(found, None)


def _picture_of(path: Path, folders: Folders) -> Path | None:
    others = [folders.picture(path.parent, stem) for stem in bare(path.stem)]
    if _is_png(path):
        names = (path.stem + suffix for suffix in sorted(SUFFIXES - {".png"}))
        others += [folders.file(path.parent, name) for name in names]
    for room in _picture_rooms(path.absolute().parent, folders):
        others += [folders.picture(room, stem) for stem in (path.stem, *bare(path.stem))]
    found = (other for other in others if other is not None and _is_mask(path, other))
    return next(found, None)


def _mask_rooms(folder: Path, folders: Folders) -> list[Path]:
    """Folders that may hold the masks of a class: bad/masks, bad_masks and masks/bad."""
    name = folder.name.lower()
    beside = (folders.child(folder.parent, mask) for mask in MASKS)
    rooms = [
        *(folders.child(folder, mask) for mask in MASKS),
        *(folders.child(folder.parent, f"{name}_{mask}") for mask in MASKS),
        *(folders.child(room, name) for room in beside if room is not None),
    ]
    return [room for room in rooms if room is not None]


def _picture_rooms(folder: Path, folders: Folders) -> list[Path]:
    """Folders that may hold the pictures whose masks lie in one: the other way round."""
    name = folder.name.lower()
    kinds = [name.removesuffix(f"_{mask}") for mask in MASKS if name.endswith(f"_{mask}")]
    rooms = [folders.child(folder.parent, kind) for kind in kinds]
    if name in MASKS:
        rooms.append(folder.parent)
    if folder.parent.name.lower() in MASKS:
        rooms.append(folders.child(folder.parent.parent, name))
    return [room for room in rooms if room is not None]


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def _is_mask(path: Path, picture: Path) -> bool:
    """Tell whether a file of the picture's size is black and white but for a few pixels."""
    try:
        pixels, size = decode(path, 1), decode(picture, 1).shape
    except PictureError:
        return False  # named when it is read
    extreme = (pixels <= EDGE) | (pixels >= 255 - EDGE)
    return pixels.shape == size and bool(extreme.mean() >= SHARE)


LAYOUT = Layout(
    name="folders",
    looks="one folder of pictures per class",
    find=_find,
    mask_of=_mask_of,
    picture_of=_picture_of,
    general=8,
)

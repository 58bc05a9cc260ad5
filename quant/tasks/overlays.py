# SPDX-License-Identifier: Apache-2.0
"""Masks as pictures: as PNG beside overlays, and in colours beside the truth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..data.layout import Mask
from ..files import replace_file
from ..pictures import PictureError, decode, resize

MASK, OVERLAY = ".mask.png", ".overlay.png"
"""Ends of the names of written pictures."""
TINT = (255, 0, 0)
"""Colour that an overlay mixes half and half into defect pixels."""


def grey(mask: Mask) -> npt.NDArray[np.uint8]:
    """Return a mask (H, W) as a picture (H, W, 1) of 0 and 255."""
    return np.where(mask, 255, 0).astype(np.uint8)[..., None]


def difference(found: Mask, truth: Mask) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3) colours: found defect white, false alarm red, missed blue, rest black."""
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [255, 255, 255]], dtype=np.uint8)
    return colours[found.astype(np.int64) + 2 * truth]


def check_names(folder: Path | None, images: Path, paths: Sequence[Path]) -> None:
    """Check where masks will be written, before the work.

    Raises:
        PictureError: two pictures would write one file, or the folder lies among the pictures.
    """
    if folder is None:
        return
    if images.is_dir() and _lies_in(folder, images):
        raise PictureError(
            f"--out: found {folder} among the pictures of {images}, expected another folder; "
            "the masks would be pictures of the next run"
        )
    seen: dict[Path, Path] = {}
    for path in paths:
        target = target_of(folder, images, path)
        if target in seen:
            raise PictureError(
                f"{path}: found {seen[target].name} too, expected one picture of the name "
                f"{path.stem} in a folder; both would be written as {target.name}{MASK}"
            )
        seen[target] = path


def target_of(folder: Path, images: Path, path: Path) -> Path:
    """Return where the files of a picture go, without their ends.

    Args:
        folder: where masks and overlays go; subfolders are those of ``images``.
        images: the picture, or the folder of pictures, that was asked for.
        path: the picture.
    """
    inside = path.relative_to(images) if images.is_dir() else Path(path.name)
    return folder / inside.with_suffix("")


def write_mask(target: Path, picture: Path, mask: Mask) -> tuple[Path, Path]:
    """Write a mask (0 and 255) and its overlay, both at the picture's own size by nearest pixel.

    Args:
        target: path without an end; ``MASK`` and ``OVERLAY`` are added.
        picture: the picture's file.
        mask: (H, W) at the network's size.

    Returns:
        Both files.
    """
    pixels = decode(picture, 3)
    height, width = pixels.shape[:2]
    large = resize(grey(mask), height, width, "nearest")
    mixed = (pixels.astype(np.uint16) + np.array(TINT, dtype=np.uint16) + 1) // 2
    over = np.where(large > 0, mixed, pixels).astype(np.uint8)
    files = target.with_name(target.name + MASK), target.with_name(target.name + OVERLAY)
    for file, content in zip(files, (large[:, :, 0], over), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(content).save(buffer, format="PNG")
        replace_file(file, buffer.getvalue())
    return files


def _lies_in(folder: Path, images: Path) -> bool:
    try:
        return folder.resolve().is_relative_to(images.resolve())
    except RuntimeError as error:  # what pathlib raises for links that lead in a circle
        raise PictureError(
            f"--out: found {folder}, a link that leads to itself; choose another folder"
        ) from error

# SPDX-License-Identifier: Apache-2.0
"""Reads pictures as uint8 arrays, the same way for every backend: decode, grey, resize, in order.

NumPy and Pillow only. What is read: BMP, JPEG, PGM/PPM, PNG, TIFF and WebP of 8 bits per channel.
Palette, 1-bit, CMYK and YCbCr pictures are converted, an alpha channel that hides nothing is
dropped. Refused, because no conversion is the obvious one: 16-bit and floating-point pictures,
transparency, several frames in a file. EXIF orientation is not applied. Grey is ITU-R 601-2 luma,
(19595 R + 38470 G + 7471 B + 32768) >> 16.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.uint8]
"""(H, W, C) pixel values 0..255."""

RESIZE_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_CHANNEL_MODES = {1: "L", 3: "RGB"}


class PictureError(ValueError):
    """A picture, or a folder of pictures, that cannot be used; the message is one line."""


def read_picture(
    path: str | Path, height: int, width: int, channels: int, filter: str = "bilinear"
) -> Picture:
    """Read one picture at the size a network takes.

    Args:
        path: picture file.
        height: rows of the result.
        width: columns of the result.
        channels: 1 (grey) or 3 (RGB).
        filter: name in ``RESIZE_FILTERS``; a picture of the right size is not resampled.

    Returns:
        (height, width, channels) uint8.

    Raises:
        PictureError: the file is missing, not a picture, damaged, or of a refused kind.
        ValueError: ``channels``, ``filter`` or the size is not possible.
    """
    return resize(decode(path, channels), height, width, filter)


def decode(path: str | Path, channels: int) -> Picture:
    """Decode one picture at its own size, as grey (1 channel) or RGB (3).

    Returns:
        (H, W, channels) uint8.

    Raises:
        PictureError: as ``read_picture``.
        ValueError: ``channels`` is neither 1 nor 3.
    """
    if channels not in _CHANNEL_MODES:
        raise ValueError(f"found {channels} picture channels, expected 1 (grey) or 3 (RGB)")
    path = Path(path)
    if not path.is_file():
        raise PictureError(f"{path}: no such picture file; check the path")
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _refuse(path, image)
            image.load()
            return _to_array(path, image, channels)
    except PictureError:
        raise
    except PermissionError as e:
        raise PictureError(f"{path}: the picture may not be read; check its permissions") from e
    except Image.UnidentifiedImageError as e:
        raise PictureError(
            f"{path}: found something that is no picture of the known kinds, "
            f"expected one of {', '.join(_FORMATS)}"
        ) from e
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as e:
        raise PictureError(
            f"{path}: the picture is damaged or cut short ({_one_line(e)}); copy it again"
        ) from e
    except Image.DecompressionBombError as e:
        raise PictureError(f"{path}: the picture is too large ({_one_line(e)})") from e


def resize(
    picture: Picture,
    height: int,
    width: int,
    filter: str = "bilinear",
    box: tuple[float, float, float, float] | None = None,
) -> Picture:
    """Resample a (H, W, 1 or 3) uint8 picture; the right size comes back as it is.

    ``box`` (left, top, right, bottom; in pixels, fractions allowed) selects a part.

    Raises:
        ValueError: the size or the filter is not possible.
    """
    if height < 1 or width < 1:
        raise ValueError(f"found picture size {height}x{width}, expected at least 1x1")
    if filter not in RESIZE_FILTERS:
        raise ValueError(
            f"found resize filter '{filter}', expected one of {', '.join(RESIZE_FILTERS)}"
        )
    if picture.shape[:2] == (height, width) and box is None:
        return picture
    flat = picture[:, :, 0] if picture.shape[2] == 1 else picture
    resized = Image.fromarray(flat).resize((width, height), RESIZE_FILTERS[filter], box)
    return np.asarray(resized).reshape(height, width, picture.shape[2])


def list_pictures(path: str | Path) -> list[Path]:
    """Return the pictures of a folder and its subfolders in natural order, or the one file given.

    Files are chosen by suffix; hidden files and folders are left out.

    Raises:
        PictureError: nothing there, or a folder without pictures.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise PictureError(f"{path}: no such file or folder; check the path")
    found = [
        p
        for p in path.rglob("*")
        if p.suffix.lower() in SUFFIXES
        and p.is_file()
        and not any(part.startswith(".") for part in p.relative_to(path).parts)
    ]
    if not found:
        raise PictureError(
            f"{path}: found no pictures in the folder, "
            f"expected files ending in {', '.join(sorted(SUFFIXES))}"
        )
    return sorted(found, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key under which ``a_2`` comes before ``a_10``."""
    return [
        (1, int(word), "") if word.isdecimal() else (0, 0, word)
        for word in re.split(r"(\d+)", path.as_posix())
    ]


def _refuse(path: Path, image: Image.Image) -> None:
    """Refuse, from the header alone, what has no obvious conversion."""
    if image.width < 1 or image.height < 1:
        raise PictureError(f"{path}: found a picture of {image.width}x{image.height} pixels")
    # Pillow would keep the high byte of 16-bit colour without a word; its raw mode tells.
    if image.mode.startswith(("I", "F")) or any(
        ";16" in str(tile.args) for tile in getattr(image, "tile", ())
    ):
        raise PictureError(
            f"{path}: found a picture of more than 8 bits per channel, expected 8; "
            "scale it to 8 bits first, the right scale depends on the camera"
        )
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise PictureError(f"{path}: found {frames} frames in one file, expected a single picture")


def _to_array(path: Path, image: Image.Image, channels: int) -> Picture:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise PictureError(
                f"{path}: found transparent pixels, expected an opaque picture; "
                "flatten it on a background first"
            )
        image = image.convert("RGB")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.asarray(image.convert(_CHANNEL_MODES[channels])).reshape(
        image.height, image.width, channels
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

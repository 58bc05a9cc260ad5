# SPDX-License-Identifier: Apache-2.0
"""Reads pictures as uint8 arrays, the same way for every backend: decode, grey, resize, in order.

NumPy and Pillow only. What is read: BMP, JPEG, PGM/PPM, PNG, TIFF and WebP of 8 bits per channel.
Palette, 1-bit, CMYK and YCbCr pictures are converted, an alpha channel that hides nothing is
dropped. A picture with an orientation tag (EXIF or TIFF) is turned upright, in every format, for
training and for every backend: as its viewer shows it and its masks were drawn. Refused, because no
conversion is the obvious one: more than 8 bits per channel in any format, transparency, several
frames in a file (but the first of a camera's MPO file is the photograph). A picture that declares
more than ``MOST_PIXELS`` is refused before it is decoded. Grey is ITU-R 601-2 luma,
(19595 R + 38470 G + 7471 B + 32768) >> 16.
"""

from __future__ import annotations

import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, SAMPLEFORMAT, TiffImageFile

from .folders import SUFFIXES, Folders
from .names import printable

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

SIGNED = 2
"""Sample format of a TIFF whose pixels are -128 to 127; Pillow reads them as 0 to 255."""
STDERR = 2
"""The file descriptor that libraries in C write to."""
MOST_PIXELS = 100_000_000
"""A picture of more pixels is not decoded: a few kilobytes may declare gigabytes."""

_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_DAMAGED = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, struct.error,
)  # fmt: skip
"""What Pillow raises of damaged files; a TIFF without a height is a TypeError, for instance."""
_CHANNEL_MODES = {1: "L", 3: "RGB"}
_TOO_LARGE = (
    f"found more than {MOST_PIXELS:,} pixels declared, the most that is decoded; "
    "cut or scale the picture first"
)


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


@dataclass(frozen=True)
class Opened:
    """A picture at its own size, with what its file was.

    Attributes:
        pixels: (H, W, channels) uint8.
        mode: Pillow's name of the file's pixels, e.g. "RGB".
        turned: an orientation tag was followed.
    """

    pixels: Picture
    mode: str
    turned: bool


def open_picture(path: str | Path, channels: int) -> Opened:
    """Decode one picture at its own size, as grey (1 channel) or RGB (3).

    Raises:
        PictureError: as ``read_picture``.
        ValueError: ``channels`` is neither 1 nor 3.
    """
    if channels not in _CHANNEL_MODES:
        raise ValueError(f"found {channels} picture channels, expected 1 (grey) or 3 (RGB)")
    path = Path(path)
    with _opened(path) as image:
        if image.format != "MPO":
            _refuse_frames(path, image)
        upright, mode = _orientation(image) != 1, image.mode
        image.load()
        # Pillow turns TIFF by itself while loading, and takes the tag away.
        turned = ImageOps.exif_transpose(image) if upright else image
        return Opened(_to_array(path, turned, channels), mode, upright)


def decode(path: str | Path, channels: int) -> Picture:
    """Return the pixels of ``open_picture``, (H, W, channels) uint8; it raises the same."""
    return open_picture(path, channels).pixels


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture that may be decoded; every error becomes a PictureError of one line."""
    shown = printable(path)
    if not path.is_file():
        raise PictureError(f"{shown}: no such picture file; check the path")
    try:
        with warnings.catch_warnings():
            # Pillow warns of sizes below our limit, and of metadata that nobody reads.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                _refuse(path, image)
                with _quiet_libtiff() if image.format == "TIFF" else nullcontext():
                    yield image
    except PictureError:
        raise
    except PermissionError as e:
        raise PictureError(f"{shown}: the picture may not be read; check its permissions") from e
    except Image.UnidentifiedImageError as e:
        raise PictureError(
            f"{shown}: found something that is no picture of the known kinds, "
            f"expected one of {', '.join(_FORMATS)}"
        ) from e
    except Image.DecompressionBombError as e:
        raise PictureError(f"{shown}: {_TOO_LARGE}") from e
    except MemoryError as e:
        raise PictureError(f"{shown}: found a picture too large for this memory; scale it") from e
    except _DAMAGED as e:
        raise PictureError(
            f"{shown}: the picture is damaged or cut short ({_one_line(e)}); copy it again"
        ) from e


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

    Files are chosen by suffix; hidden files and what systems leave behind (``folders.JUNK``) are
    left out. Masks are not told apart here: ``data.choose_pictures`` does.

    Raises:
        PictureError: nothing there, or a folder without pictures.
        FolderError: a link leads nowhere.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise PictureError(f"{printable(path)}: no such file or folder; check the path")
    found = list(Folders().walk(path))
    if not found:
        raise PictureError(
            f"{printable(path)}: found no pictures in the folder, "
            f"expected files ending in {', '.join(sorted(SUFFIXES))}"
        )
    return sorted(found, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key under which ``a_2`` comes before ``a_10``."""
    return [
        (1, int(word), "") if word.isdecimal() else (0, 0, word)
        for word in re.split(r"(\d+)", path.as_posix())
    ]


@contextmanager
def _quiet_libtiff() -> Iterator[None]:
    """Keep libtiff from writing remarks on damaged files to standard error, past Python."""
    try:
        before = os.dup(STDERR)
    except OSError:  # it is closed: nothing is written
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(before, STDERR)
            os.close(before)


def _refuse(path: Path, image: Image.Image) -> None:
    """Refuse, from the header alone, what is too large or has no obvious conversion."""
    shown = printable(path)
    if image.width < 1 or image.height < 1:
        raise PictureError(f"{shown}: found a picture of {image.width}x{image.height} pixels")
    if image.width * image.height > MOST_PIXELS:
        raise PictureError(f"{shown}: {image.width}x{image.height}: {_TOO_LARGE}")
    # Pillow would keep one byte of 16-bit colour without a word. How it unpacks tells, but for a
    # TIFF of one plane per colour: its tags do.
    if (
        image.mode.startswith(("I", "F"))
        or any(map(_is_deep, getattr(image, "tile", ())))
        or max(_tiff_tag(image, BITSPERSAMPLE), default=8) > 8
    ):
        raise PictureError(
            f"{shown}: found a picture of more than 8 bits per channel, expected 8; "
            "scale it to 8 bits first, the right scale depends on the camera"
        )
    if SIGNED in _tiff_tag(image, SAMPLEFORMAT):
        raise PictureError(f"{shown}: found signed pixel values, expected 0 to 255; convert it")


def _tiff_tag(image: Image.Image, tag: int) -> tuple[int, ...]:
    """Return the numbers of a TIFF's tag, none where it is missing or the picture is no TIFF."""
    return tuple(image.tag_v2.get(tag, ())) if isinstance(image, TiffImageFile) else ()


def _is_deep(tile: Any) -> bool:
    """Tell whether a tile unpacks more than 8 bits per channel: by raw mode, or PPM's maximum."""
    codec, *_, arguments = tile
    words = arguments if isinstance(arguments, tuple) else (arguments,)
    if str(codec).startswith("ppm"):
        return isinstance(words[-1], int) and words[-1] > 255
    # BGR;16 of BMP is 5, 6 and 5 bits.
    return any(";16" in word and word != "BGR;16" for word in map(str, words))


def _refuse_frames(path: Path, image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise PictureError(
            f"{printable(path)}: found {frames} frames in one file, expected a single picture"
        )


def _orientation(image: Image.Image) -> int:
    """Return the orientation tag, 1 (upright) where there is none or it cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGED:
        return 1  # damaged EXIF data beside a whole picture: viewers ignore it too
    return value if value in range(1, 9) else 1


def _to_array(path: Path, image: Image.Image, channels: int) -> Picture:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise PictureError(
                f"{printable(path)}: found transparent pixels, expected an opaque picture; "
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

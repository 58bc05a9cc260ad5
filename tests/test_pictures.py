# SPDX-License-Identifier: Apache-2.0
"""Pictures: exact grey and resize rules, and one clear line for everything that is refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from andpop.quant.pictures import (
    RESIZE_FILTERS,
    PictureError,
    decode,
    list_pictures,
    read_picture,
    resize,
)
from PIL import Image

U8 = npt.NDArray[np.uint8]


def noise(*shape: int) -> U8:
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: npt.NDArray[np.generic], **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def png_of_16_bits(path: Path, colour_type: int, samples: int) -> Path:
    """Write a 4x4 PNG of 16 bits per sample, which Pillow itself cannot write in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + b"\x12\x34" * samples * 4) * 4
    header = struct.pack(">IIBBBBB", 4, 4, 16, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


def test_grey_picture_of_the_right_size_is_untouched(tmp_path: Path) -> None:
    pixels = noise(20, 30)
    found = read_picture(save(tmp_path / "a.png", pixels), 20, 30, 1)
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels[:, :, None])


def test_grey_of_colour_is_the_stated_integer_formula(tmp_path: Path) -> None:
    pixels = noise(64, 64, 3)
    r, g, b = np.moveaxis(pixels.astype(np.int64), 2, 0)
    expected = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
    found = decode(save(tmp_path / "a.png", pixels), 1)
    assert np.array_equal(found[:, :, 0], expected)


def test_colour_of_grey_repeats_the_channel(tmp_path: Path) -> None:
    pixels = noise(8, 9)
    found = decode(save(tmp_path / "a.png", pixels), 3)
    assert np.array_equal(found, np.repeat(pixels[:, :, None], 3, axis=2))


def test_grey_comes_before_resize(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", noise(50, 70, 3))
    expected = Image.open(path).convert("L").resize((33, 21), Image.Resampling.BILINEAR)
    assert np.array_equal(read_picture(path, 21, 33, 1)[:, :, 0], np.asarray(expected))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("filter", list(RESIZE_FILTERS))
def test_resize_is_pillows(channels: int, filter: str) -> None:
    pixels = noise(40, 40, channels)
    picture = Image.fromarray(pixels.squeeze())
    expected = np.asarray(picture.resize((24, 32), Image.Resampling[filter.upper()]))
    found = resize(pixels, 32, 24, filter)
    assert found.shape == (32, 24, channels)
    assert np.array_equal(found.squeeze(), expected)


@pytest.mark.parametrize("kind", ["palette", "bits", "cmyk", "opaque"])
def test_converts_what_has_an_obvious_conversion(tmp_path: Path, kind: str) -> None:
    grey = Image.fromarray(noise(16, 16))
    picture, name = {
        "palette": (grey.convert("P"), "a.png"),
        "bits": (grey.convert("1"), "a.png"),
        "cmyk": (grey.convert("CMYK"), "a.tif"),
        "opaque": (grey.convert("RGBA"), "a.png"),
    }[kind]
    picture.save(tmp_path / name)
    expected = np.asarray(picture.convert("RGB").convert("L"))
    assert np.array_equal(decode(tmp_path / name, 1)[:, :, 0], expected)


def _truncated_jpeg(folder: Path) -> Path:
    path = save(folder / "cut.jpg", noise(64, 64))
    path.write_bytes(path.read_bytes()[:-400])
    return path


def _text(folder: Path) -> Path:
    path = folder / "text.png"
    path.write_text("not a picture")
    return path


def _empty(folder: Path) -> Path:
    path = folder / "empty.jpg"
    path.touch()
    return path


def _transparent(folder: Path) -> Path:
    pixels = noise(8, 8, 4)
    pixels[:, :, 3] = 255
    pixels[3, 3, 3] = 254
    return save(folder / "alpha.png", pixels)


def _frames(folder: Path) -> Path:
    path = folder / "frames.tif"
    Image.fromarray(noise(8, 8)).save(
        path, save_all=True, append_images=[Image.fromarray(noise(8, 8))]
    )
    return path


REFUSED: list[tuple[Callable[[Path], Path], str]] = [
    (_truncated_jpeg, "damaged or cut short"),
    (_text, "no picture of the known kinds"),
    (_empty, "no picture of the known kinds"),
    (_transparent, "found transparent pixels"),
    (_frames, "found 2 frames"),
    (lambda folder: save(folder / "grey16.png", np.ones((4, 4), np.uint16)), "more than 8 bits"),
    (lambda folder: save(folder / "float.tif", np.ones((4, 4), np.float32)), "more than 8 bits"),
    (lambda folder: png_of_16_bits(folder / "rgb16.png", 2, 3), "more than 8 bits"),
    (lambda folder: png_of_16_bits(folder / "rgba16.png", 6, 4), "more than 8 bits"),
    (lambda folder: folder / "absent.png", "no such picture"),
    (lambda folder: folder, "no such picture"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_refuses_in_one_line(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    path = make(tmp_path)
    with pytest.raises(PictureError, match=message) as caught:
        read_picture(path, 32, 32, 1)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_impossible_arguments(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", noise(8, 8))
    with pytest.raises(ValueError, match="found 2 picture channels"):
        read_picture(path, 8, 8, 2)
    with pytest.raises(ValueError, match="found picture size 0x8"):
        read_picture(path, 0, 8, 1)
    with pytest.raises(ValueError, match="found resize filter 'sinc'"):
        read_picture(path, 4, 8, 1, "sinc")


def test_lists_pictures_in_natural_order(tmp_path: Path) -> None:
    names = ["b/a_10.jpg", "b/a_9.JPG", "a.png", "b/a_9b.bmp", ".hidden.png", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [p.relative_to(tmp_path).as_posix() for p in list_pictures(tmp_path)]
    assert found == ["a.png", "b/a_9.JPG", "b/a_9b.bmp", "b/a_10.jpg"]
    assert list_pictures(tmp_path / "a.png") == [tmp_path / "a.png"]


def test_listing_refuses_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="found no pictures in the folder"):
        list_pictures(tmp_path)
    with pytest.raises(PictureError, match="no such file or folder"):
        list_pictures(tmp_path / "absent")

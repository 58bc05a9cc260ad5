# SPDX-License-Identifier: Apache-2.0
"""Pictures: exact grey and resize rules, and one clear line for everything that is refused."""

from __future__ import annotations

import os
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
    open_picture,
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


def save_frames(path: Path) -> Path:
    frames = [Image.fromarray(noise(8, 8, 3)), Image.fromarray(255 - noise(8, 8, 3))]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def _ppm(folder: Path, kind: str, most: int, bytes_per_pixel: int, side: int = 4) -> Path:
    """A PGM or PPM whose largest value is ``most``; plain text where no bytes are given."""
    path = folder / ("deep.pgm" if kind in ("P2", "P5") else "deep.ppm")
    head = f"{kind} {side} {side} {most}\n".encode()
    path.write_bytes(head + (b"\x01" * (16 * bytes_per_pixel) or b"1 " * 48))
    return path


def _bomb(path: Path, side: int) -> Path:
    """A PNG that declares side x side grey pixels and holds none of them."""
    save(path, noise(4, 4))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    return path


def _planes(folder: Path) -> Path:
    """A TIFF of 16 bits with one plane per colour, which Pillow reads as 8 bits."""
    tags = [
        (256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 3, 14), (277, 3, 1, 3), (278, 4, 1, 4), (279, 4, 3, 26), (284, 3, 1, 2),
    ]  # fmt: skip
    arrays = struct.pack("<HHH", 16, 16, 16) + struct.pack("<6I", 38, 70, 102, 32, 32, 32)
    pixels = b"\x34\x12" * 48
    first = 8 + len(arrays) + len(pixels)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path = folder / "planes.tif"
    head = b"II*\0" + struct.pack("<I", first) + arrays + pixels
    path.write_bytes(head + struct.pack("<H", len(tags)) + entries + bytes(4))
    return path


def _signed(folder: Path) -> Path:
    path = folder / "signed.tif"
    Image.fromarray(noise(4, 4)).save(path, tiffinfo={339: 2})
    return path


def _no_height(folder: Path) -> Path:
    """A TIFF whose second page has no height: Pillow raises a TypeError when it counts pages."""
    path = save_frames(folder / "tags.tif")
    content = path.read_bytes()
    entry = content.rindex(struct.pack("<HH", 257, 4))
    path.write_bytes(content[:entry] + struct.pack("<H", 40_000) + content[entry + 2 :])
    return path


def _transparent_palette(folder: Path) -> Path:
    picture = Image.fromarray(noise(16, 16)).convert("P")
    picture.save(folder / "palette.png", transparency=int(np.asarray(picture)[0, 0]))
    return folder / "palette.png"


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
    (lambda folder: _ppm(folder, "P5", 65535, 2), "more than 8 bits"),
    (lambda folder: _ppm(folder, "P6", 65535, 6), "more than 8 bits"),
    (lambda folder: _ppm(folder, "P5", 256, 2), "more than 8 bits"),
    (lambda folder: _ppm(folder, "P6", 1023, 6), "more than 8 bits"),
    (lambda folder: _ppm(folder, "P2", 65535, 0), "more than 8 bits"),
    (lambda folder: _ppm(folder, "P3", 65535, 0), "more than 8 bits"),
    (lambda folder: save(folder / "grey16.tif", np.ones((4, 4), np.uint16)), "more than 8 bits"),
    (lambda folder: save(folder / "grey32.tif", np.ones((4, 4), np.int32)), "more than 8 bits"),
    (_planes, "more than 8 bits"),
    (_signed, "found signed pixel values"),
    (lambda folder: _bomb(folder / "bomb.png", 13_000), "13000x13000: found more than 100,000,000"),
    (lambda folder: _bomb(folder / "huge.png", 60_000), "found more than 100,000,000 pixels decl"),
    (lambda folder: _ppm(folder, "P5", 255, 0, 20_000), "found more than 100,000,000 pixels"),
    (lambda folder: _no_height(folder), "damaged or cut short"),
    (lambda folder: save_frames(folder / "a.webp"), "found 2 frames"),
    (lambda folder: save_frames(folder / "a.png"), "found 2 frames"),
    (lambda folder: save_frames(folder / "a.gif"), "no picture of the known kinds"),
    (lambda folder: _transparent_palette(folder), "found transparent pixels"),
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


ORIENTED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: p.transpose(1, 0, 2)[:, ::-1],
    7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda p: p.transpose(1, 0, 2)[::-1],
}
"""Orientation (EXIF 2.3, tag 0x0112) -> what turns stored pixels upright."""


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", [*ORIENTED, 0, 9, 300])
def test_orientation_is_applied_in_every_format(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(noise(24, 40, 3))
    picture.save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    plain = tmp_path / f"b.{suffix}"
    picture.save(plain, **({"lossless": True} if suffix == "webp" else {}))
    turn = ORIENTED.get(orientation, ORIENTED[1])
    assert np.array_equal(decode(path, 3), turn(decode(plain, 3)))
    assert open_picture(path, 3).turned == (orientation in range(2, 9))
    assert not open_picture(plain, 3).turned


def test_damaged_exif_data_beside_a_whole_picture_is_ignored(tmp_path: Path) -> None:
    pixels = noise(24, 40)
    path = save(tmp_path / "a.png", pixels, exif=b"Exif\0\0MM\0*garbage")
    assert np.array_equal(decode(path, 1)[:, :, 0], pixels)


def test_the_first_frame_of_a_cameras_file_is_the_picture(tmp_path: Path) -> None:
    """Telephones write a preview behind the photograph (MPO)."""
    path = tmp_path / "a.jpg"
    first, second = Image.fromarray(noise(16, 24, 3)), Image.fromarray(noise(8, 8, 3))
    first.save(path, format="MPO", save_all=True, append_images=[second])
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 2
    first.save(tmp_path / "b.jpg")
    assert np.array_equal(decode(path, 3), decode(tmp_path / "b.jpg", 3))


def test_sixteen_bits_per_pixel_of_bmp_are_fewer_than_eight_per_channel(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    pixels = struct.pack("<4H", 0xF800, 0x07E0, 0x001F, 0xFFFF)
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    header = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, len(pixels), 0, 0, 0, 0)
    start = 14 + len(header) + len(masks)
    file = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    path.write_bytes(file + header + masks + pixels)
    assert decode(path, 3).tolist() == [[[0, 0, 255], [255] * 3], [[255, 0, 0], [0, 255, 0]]]


def test_a_limit_of_pixels_is_no_limit_for_large_pictures(tmp_path: Path) -> None:
    """Just below it the header passes; that its pixels are missing is noticed afterwards."""
    with pytest.raises(PictureError, match="damaged or cut short"):
        decode(_bomb(tmp_path / "a.png", 9_999), 1)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "pgm", "ppm", "tif", "webp"])
def test_a_file_cut_anywhere_is_named(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / f"a.{kind}", noise(24, 24, 3) if kind == "ppm" else noise(24, 24))
    whole, pixels = path.read_bytes(), decode(path, 3)
    for share in (0, 0.01, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(PictureError) as caught:
            decode(path, 3)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    assert np.array_equal(decode(path, 3), pixels)


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


def test_libtiff_prints_nothing_of_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(noise(40, 40)).save(path, compression="tiff_adobe_deflate")
    content = bytearray(path.read_bytes())
    content[100:400] = bytes(300)
    path.write_bytes(content)
    with pytest.raises(PictureError, match="damaged or cut short"):
        decode(path, 1)
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"

# SPDX-License-Identifier: Apache-2.0
"""Inputs that no picture file holds: .npy files of any shape that the network takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from andpop.flows.arrays import list_arrays
from andpop.flows.pictures import Given, choose
from andpop.flows.progress import silent
from andpop.quant.inputs import Reads
from andpop.quant.pictures import PictureError, list_pictures
from andpop.quant.tasks import of_heads
from PIL import Image

VECTOR, MAP, LINE = (1, 1, 6), (4, 3, 1), (1, 5, 2)


@dataclass(frozen=True)
class Taken:
    shape: tuple[int, int, int]
    resize_filter: str = "bilinear"
    reads: Reads | None = None


def read(path: Path, shape: tuple[int, int, int], count: int | None = None) -> Given:
    return choose(path, count).read(Taken(shape), silent)


@pytest.mark.parametrize(
    ("shape", "form", "number"),
    [
        (VECTOR, (6,), 1), (VECTOR, (5, 6), 5), (VECTOR, (1, 1, 6), 1), (VECTOR, (2, 1, 1, 6), 2),
        (MAP, (4, 3), 1), (MAP, (4, 3, 1), 1), (MAP, (7, 4, 3), 7), (MAP, (7, 4, 3, 1), 7),
        ((2, 2, 5), (2, 2, 5), 1), ((2, 2, 5), (3, 2, 2, 5), 3),
        (LINE, (5, 2), 1), (LINE, (1, 5, 2), 1), (LINE, (3, 5, 2), 3), (LINE, (3, 1, 5, 2), 3),
        ((1, 5, 1), (5,), 1), ((1, 5, 1), (3, 5), 3),
    ],
)  # fmt: skip
def test_every_form_of_a_shape_is_read(
    shape: tuple[int, int, int], form: tuple[int, ...], number: int, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 256, form, dtype=np.uint8)
    np.save(tmp_path / "x.npy", values)
    given = read(tmp_path / "x.npy", shape)
    assert given.pixels.dtype == np.uint8
    np.testing.assert_array_equal(given.pixels, values.reshape(number, *shape))
    several = len(form) > 1 and form[0] == number and form != shape
    assert given.names == ([f"x.npy[{i}]" for i in range(number)] if several else ["x.npy"])


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.uint16])
def test_whole_numbers_of_other_types_are_bytes(dtype: type, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[0, 1, 1, 0, 1, 0]], dtype=dtype))
    assert read(tmp_path, VECTOR).pixels.tolist() == [[[[0, 1, 1, 0, 1, 0]]]]


def test_a_folder_gives_its_files_in_order_and_as_many_as_asked(tmp_path: Path) -> None:
    for name, first in (("10", 30), ("9", 20), ("sub/1", 40)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f"{name}.npy", np.full((2, 6), first) + [[0], [1]])
    given = read(tmp_path, VECTOR)
    assert given.pixels[:, 0, 0, 0].tolist() == [20, 21, 30, 31, 40, 41]
    assert read(tmp_path, VECTOR, 3).names == ["9.npy[0]", "9.npy[1]", "10.npy[0]"]


def test_what_is_hidden_or_left_behind_is_passed_by_as_among_pictures(tmp_path: Path) -> None:
    for name in ("a", ".b", ".c/d", "__MACOSX/e", "@eaDir/f"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f"{name}.npy", np.zeros(6, np.uint8))
        Image.fromarray(np.zeros((4, 3), np.uint8)).save(tmp_path / f"{name}.png")
    for found in (list_arrays(tmp_path), list_pictures(tmp_path)):
        assert [path.stem for path in found] == ["a"]


def test_pictures_come_before_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 3), np.uint8))
    Image.fromarray(np.zeros((4, 3), np.uint8)).save(tmp_path / "a.png")
    assert read(tmp_path, MAP).names == ["a.png"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((2, 5), np.uint8), "found (2, 5), expected (1, 1, 6) or (N, 1, 1, 6) or (6,)"),
        (np.zeros(6, np.float32), "found numbers of type float32, expected whole ones of 0..255"),
        (np.full(6, 256), "found numbers of 256..256, expected 0..255"),
        (np.full(6, -1), "found numbers of -1..-1, expected 0..255"),
        (np.zeros((0, 6), np.uint8), "found no inputs, expected one or more"),
    ],
)
def test_other_arrays_are_refused(values: np.ndarray, reason: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(PictureError) as caught:
        read(tmp_path / "x.npy", VECTOR)
    assert reason in str(caught.value)


def test_files_that_hold_no_array_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(PictureError, match="found no NumPy array"):
        read(tmp_path, VECTOR)
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(PictureError, match="found no NumPy array"):
        read(tmp_path, VECTOR)
    with (tmp_path / "x.npy").open("wb") as file:
        np.savez(file, a=np.zeros(6), b=np.zeros(6))
    with pytest.raises(PictureError, match="found several arrays"):
        read(tmp_path, VECTOR)


def test_masks_are_drawn_over_pictures_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 3), np.uint8))
    with pytest.raises(PictureError, match="expected pictures: masks are drawn over them"):
        choose(tmp_path, None, of_heads(["class_map"]))


def test_a_folder_without_either_names_pictures(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="found no pictures in the folder"):
        choose(tmp_path)
    with pytest.raises(PictureError, match="no such file or folder"):
        choose(tmp_path / "nowhere")


def test_a_network_of_many_channels_asks_for_arrays(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(PictureError, match="give .npy files of inputs"):
        read(tmp_path, VECTOR)

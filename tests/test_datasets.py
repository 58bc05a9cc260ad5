# SPDX-License-Identifier: Apache-2.0
"""Layouts as distributed, deterministic splits, balanced order, augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from andpop.quant.data.layout import DatasetError, Sample
from andpop.quant.data.neu_det import Box, read_boxes
from andpop.quant.samples.augment import augment
from andpop.quant.samples.found import find_samples
from andpop.quant.samples.reader import Reader
from andpop.quant.samples.split import balanced_order, split
from PIL import Image

VOC = (
    "<annotation><object><name>crazing</name><bndbox><xmin>1</xmin><ymin>2</ymin>"
    "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
)


def put(path: Path, value: int = 100, size: tuple[int, int] = (8, 6)) -> Path:
    """Write a picture of one grey value, (height, width) = size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, dtype=np.uint8)).save(path)
    return path


def names(root: Path) -> dict[str, str]:
    dataset = find_samples(root)
    return {s.path.relative_to(root).as_posix(): dataset.classes[s.label] for s in dataset.samples}


@pytest.mark.parametrize("flat", [True, False])
def test_neu_det(tmp_path: Path, flat: bool) -> None:
    images, annotations = ("IMAGES", "ANNOTATIONS") if flat else ("images", "annotations")
    for name in ("crazing", "rolled-in_scale"):
        folder = "" if flat else f"{name}/"
        for n in (1, 2, 10):
            put(tmp_path / images / f"{folder}{name}_{n}.jpg")
    xml = tmp_path / annotations / ("" if flat else "crazing") / "crazing_10.xml"
    xml.parent.mkdir(parents=True)
    xml.write_text(VOC)
    dataset = find_samples(tmp_path)
    assert (dataset.layout, dataset.classes) == ("neu-det", ("crazing", "rolled-in_scale"))
    assert [s.path.stem for s in dataset.samples[:3]] == ["crazing_1", "crazing_2", "crazing_10"]
    assert [s.label for s in dataset.samples] == [0, 0, 0, 1, 1, 1]
    boxes = [read_boxes(s) for s in dataset.samples[:3]]
    assert boxes == [(), (), (Box("crazing", 1, 2, 30, 40),)]


def test_magnetic_tile(tmp_path: Path) -> None:
    put(tmp_path / "MT_Free/Imgs/exp1_num_5.jpg")
    put(tmp_path / "MT_Free/Imgs/exp1_num_5.png", 0)
    put(tmp_path / "MT_Crack/Imgs/exp2_num_7.jpg")
    put(tmp_path / "MT_Crack/Imgs/exp2_num_7.png", 255)
    dataset = find_samples(tmp_path)
    assert dataset.layout == "magnetic-tile"
    assert names(tmp_path) == {
        "MT_Crack/Imgs/exp2_num_7.jpg": "Crack",
        "MT_Free/Imgs/exp1_num_5.jpg": "Free",
    }
    assert [s.mask for s in dataset.samples] == [
        s.path.with_suffix(".png") for s in dataset.samples
    ]


def test_dagm(tmp_path: Path) -> None:
    put(tmp_path / "Class1/Train/0001.PNG")
    put(tmp_path / "Class1/Test/0002.PNG")
    put(tmp_path / "Class1/Test/Label/0002_label.PNG", 255)
    put(tmp_path / "Class10/Train/0001.PNG")
    dataset = find_samples(tmp_path)
    assert (dataset.layout, dataset.classes) == ("dagm", ("defect", "good"))
    assert [(s.group, s.subset, s.label, s.mask is None) for s in dataset.samples] == [
        ("Class1", "test", 0, False),
        ("Class1", "train", 1, True),
        ("Class10", "train", 1, True),
    ]


def test_kolektor_sdd(tmp_path: Path) -> None:
    for part, value in ((0, 0), (1, 255)):
        put(tmp_path / f"kos01/Part{part}.jpg")
        put(tmp_path / f"kos01/Part{part}_label.bmp", value)
    dataset = find_samples(tmp_path)
    assert dataset.layout == "kolektor-sdd"
    assert names(tmp_path) == {"kos01/Part0.jpg": "good", "kos01/Part1.jpg": "defect"}
    assert {s.group for s in dataset.samples} == {"kos01"}
    (tmp_path / "kos01/Part1_label.bmp").unlink()
    with pytest.raises(DatasetError, match="found no mask, expected Part1_label.bmp"):
        find_samples(tmp_path)


def test_folder_per_class_in_the_order_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "good/b.png")
    put(tmp_path / "bad/a.bmp")
    put(tmp_path / ".cache/x.png")
    dataset = find_samples(tmp_path, ["good", "bad"])
    assert dataset.layout == "folders"
    assert [(s.path.name, s.label) for s in dataset.samples] == [("a.bmp", 1), ("b.png", 0)]


def test_refuses_folders_that_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        find_samples(tmp_path / "absent")
    with pytest.raises(DatasetError, match="found no labelled pictures"):
        find_samples(tmp_path)
    put(tmp_path / "lonely.png")
    with pytest.raises(DatasetError, match="found no labelled pictures"):
        find_samples(tmp_path)
    put(tmp_path / "good/a.png")
    with pytest.raises(DatasetError, match="found classes good, expected bad, good; add pictures"):
        find_samples(tmp_path, ["bad", "good"])
    with pytest.raises(DatasetError, match="rename or remove good"):
        find_samples(tmp_path, [])
    (tmp_path / "bad").mkdir()
    with pytest.raises(DatasetError, match="bad: found no pictures of this class"):
        find_samples(tmp_path)


@pytest.mark.parametrize("content", ["<annotation><object>", VOC.replace("30", "wide"), ""])
def test_a_broken_annotation_stops_who_needs_boxes_alone(tmp_path: Path, content: str) -> None:
    put(tmp_path / "IMAGES/crazing_1.jpg")
    put(tmp_path / "IMAGES/patches_1.jpg")
    (tmp_path / "ANNOTATIONS").mkdir()
    (tmp_path / "ANNOTATIONS/crazing_1.xml").write_text(content)
    dataset = find_samples(tmp_path)
    assert dataset.classes == ("crazing", "patches")
    with pytest.raises(DatasetError, match="crazing_1.xml: found no VOC annotation"):
        read_boxes(dataset.samples[0])
    assert read_boxes(dataset.samples[1]) == ()


def test_split_is_stratified_without_overlap_and_stable() -> None:
    labels = [0] * 40 + [1] * 21 + [2] * 2
    train, validation = split(labels, 0.2, seed=3)
    assert sorted(train + validation) == list(range(63))
    assert not set(train) & set(validation)
    assert [sum(labels[i] == c for i in validation) for c in range(3)] == [8, 4, 1]
    assert split(labels, 0.2, seed=3) == (train, validation)
    assert split(labels, 0.2, seed=4) != (train, validation)
    # Another class leaves the division of these alone.
    assert split([*labels, 3, 3, 3], 0.2, seed=3)[1][:-1] == validation


def test_split_refuses_what_cannot_be_divided() -> None:
    with pytest.raises(DatasetError, match="found 1 picture of class 1"):
        split([0, 0, 1])
    with pytest.raises(DatasetError, match="found validation fraction 1.0"):
        split([0, 0], 1.0)


def test_balanced_order_draws_classes_equally_and_all_before_any_twice() -> None:
    labels = np.array([0] * 50 + [1] * 7 + [2] * 3)
    order = balanced_order(labels, seed=1, epoch=0)
    assert np.bincount(labels[order]).tolist() == [20, 20, 20]
    counts = np.bincount(order, minlength=60)
    assert counts[:50].max() == 1
    assert set(counts[50:57].tolist()) <= {2, 3}
    assert set(counts[57:].tolist()) <= {6, 7}
    assert np.array_equal(order, balanced_order(labels, seed=1, epoch=0))
    assert not np.array_equal(order, balanced_order(labels, seed=1, epoch=1))


def test_augmentation_reaches_all_eight_orientations_and_only_those() -> None:
    picture = np.zeros((32, 32, 1), dtype=np.uint8)
    picture[:16, :16], picture[:16, 16:], picture[16:, :16] = 200, 100, 50
    rng = np.random.default_rng(0)

    def corners(view: npt.NDArray[np.uint8]) -> tuple[int, ...]:
        return tuple(int(v) for v in view[[2, 2, -3, -3], [2, -3, 2, -3], 0])

    square = {corners(augment(picture, 16, 16, rng, jitter=0.0)) for _ in range(200)}
    assert len(square) == 8
    assert {frozenset(c) for c in square} == {frozenset({200, 100, 50, 0})}
    wide = {corners(augment(picture, 16, 24, rng, jitter=0.0)) for _ in range(200)}
    assert len(wide) == 4


def test_augmentation_crops_a_little_and_jitters_a_little() -> None:
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[:, None, None], 100, axis=1)
    rng = np.random.default_rng(1)
    for _ in range(50):
        view = augment(ramp, 50, 50, rng, jitter=0.0).astype(int)
        spread = view.max() - view.min()
        assert 170 <= spread <= 198  # 200 / 1.125 = 178, less the border of the resampling
    grey = np.full((8, 8, 1), 100, dtype=np.uint8)
    values = {int(augment(grey, 8, 8, rng, jitter=0.1)[0, 0, 0]) for _ in range(300)}
    assert min(values) >= 77
    assert max(values) <= 123
    assert len(values) > 25


def test_augmentation_depends_on_its_generator_alone() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    first, again = (augment(picture, 20, 24, np.random.default_rng(9)) for _ in range(2))
    assert first.shape == (20, 24, 3)
    assert np.array_equal(first, again)


def test_loading_bounds_large_pictures_and_keeps_small_ones(tmp_path: Path) -> None:
    large = Sample(put(tmp_path / "large.png", size=(300, 50)), 0)
    small = Sample(put(tmp_path / "small.png", size=(20, 30)), 0)
    reader = Reader(32, 64, 1, "bilinear")
    assert [reader.keep(s.path).shape for s in (large, small)] == [(64, 50, 1), (20, 30, 1)]


@pytest.mark.data
def test_real_neu_det(andpop_data: Path) -> None:
    dataset = find_samples(andpop_data / "neu-det")
    assert dataset.layout == "neu-det"
    assert np.bincount([s.label for s in dataset.samples]).tolist() == [240] * 6
    assert all(read_boxes(s) for s in dataset.samples)
    train, validation = split([s.label for s in dataset.samples], 0.2)
    assert (len(train), len(validation)) == (1152, 288)


@pytest.mark.data
def test_real_magnetic_tile(andpop_data: Path) -> None:
    dataset = find_samples(andpop_data / "magnetic-tile")
    assert dataset.classes == ("Blowhole", "Break", "Crack", "Fray", "Free", "Uneven")
    assert np.bincount([s.label for s in dataset.samples]).tolist() == [92, 68, 46, 26, 762, 82]
    assert all(s.mask is not None for s in dataset.samples)

# SPDX-License-Identifier: Apache-2.0
"""Pairs of picture and mask: bad ones are named, both see the same view, figures from counts."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from andpop.quant.data.layout import DatasetError, Sample
from andpop.quant.pictures import PictureError
from andpop.quant.samples.augment import View, augment, augment_pair
from andpop.quant.samples.pairs import Notes, find_pairs, load_pairs, read_pair, resize_mask
from andpop.quant.samples.split import split
from andpop.quant.synthetic import MASKED_CLASSES, generate_masked, masked_picture
from andpop.quant.tasks.pixels import Counts, count_pixels, score
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def save(path: Path, pixels: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def pair(root: Path, kind: str, n: int, mask: Pixels | None) -> Path:
    """Write a grey picture of 20x30 pixels in the layout of Magnetic Tile, and its mask."""
    path = save(root / f"MT_{kind}/Imgs/exp1_num_{n}.jpg", np.full((20, 30), 90, dtype=np.uint8))
    if mask is not None:
        save(path.with_suffix(".png"), mask)
    return path


def blob(value: int = 255, shape: tuple[int, int] = (20, 30)) -> Pixels:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[5:15, 10:20] = value
    return mask


EMPTY = np.zeros((20, 30), dtype=np.uint8)


def tiles(root: Path) -> Path:
    for n in range(2):
        pair(root, "Crack", n, blob())
        pair(root, "Free", n, EMPTY)
        pair(root, "Fray", n, blob())
    return root


def test_pairs_by_kind_of_defect(tmp_path: Path) -> None:
    dataset = find_pairs(tiles(tmp_path))
    assert dataset.classes == ("Crack", "Fray", "Free")
    assert [s.label for s in dataset.samples] == [0, 0, 1, 1, 2, 2]
    assert all(s.mask == s.path.with_suffix(".png") for s in dataset.samples)


def test_one_kind_of_defect_alone(tmp_path: Path) -> None:
    tiles(tmp_path)
    dataset = find_pairs(tmp_path, ["Free", "Fray"])
    assert dataset.classes == ("Fray", "Free")
    assert [(s.path.parts[-3], s.label) for s in dataset.samples] == [
        ("MT_Fray", 0),
        ("MT_Fray", 0),
        ("MT_Free", 1),
        ("MT_Free", 1),
    ]
    with pytest.raises(DatasetError, match="found no class Rust, expected some of Crack, Fray"):
        find_pairs(tmp_path, ["Rust"])


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    pair(tiles(tmp_path), "Crack", 7, None)
    with pytest.raises(DatasetError, match="exp1_num_7.jpg: found no mask, expected one as Magn"):
        find_pairs(tmp_path)
    assert len(find_pairs(tiles(tmp_path / "whole")).samples) == 6


def test_a_layout_without_masks_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "good/a.png", EMPTY)
    with pytest.raises(DatasetError, match=r"found pictures without masks \(folders\)"):
        find_pairs(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="found no labelled pictures"):
        find_pairs(tmp_path)


def test_dagm_pictures_without_a_mask_are_good(tmp_path: Path) -> None:
    save(tmp_path / "Class1/Train/0001.PNG", EMPTY)
    save(tmp_path / "Class1/Train/0002.PNG", EMPTY)
    save(tmp_path / "Class1/Train/Label/0002_label.PNG", blob())
    dataset = find_pairs(tmp_path)
    assert dataset.classes == ("defect", "good")
    _, masks = load_pairs(dataset.samples, 1, Notes(20, 30, "bilinear"))
    assert [int(m.sum()) for m in masks] == [0, 100]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (blob(shape=(20, 31)), "found a mask of 20x31 pixels, expected 20x30 as exp1_num_1.jpg"),
        (blob(1), "found 1 as the mask's largest value, expected defects above 127"),
        (blob(127), "found 127 as the mask's largest value"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_named(tmp_path: Path, mask: Pixels, message: str) -> None:
    pair(tmp_path, "Crack", 1, mask)
    (sample,) = find_pairs(tmp_path).samples
    with pytest.raises(DatasetError, match=f"exp1_num_1.png: {message}") as error:
        read_pair(sample, 1)
    assert "\n" not in str(error.value)


def test_a_mask_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = pair(tmp_path, "Crack", 1, None)
    path.with_suffix(".png").write_bytes(b"")
    (sample,) = find_pairs(tmp_path).samples
    with pytest.raises(PictureError, match=r"exp1_num_1.png: found something that is no picture"):
        read_pair(sample, 1)


def test_greys_are_cut_at_127_and_said(tmp_path: Path) -> None:
    grey = blob()
    grey[5], grey[6] = 127, 128
    pair(tmp_path, "Crack", 1, grey)
    pair(tmp_path, "Crack", 2, blob())
    notes = Notes(20, 30, "bilinear")
    _, masks = load_pairs(find_pairs(tmp_path).samples, 1, notes)
    assert not masks[0][5].any() and masks[0][6].all()
    assert notes.lines() == [
        "1 of 2 masks have values between 0 and 255: above 127 is defect, e.g. exp1_num_1.png"
    ]


def test_empty_masks_are_said_only_where_defects_are_meant(tmp_path: Path) -> None:
    tiles(tmp_path)
    pair(tmp_path, "Fray", 5, EMPTY)
    notes = Notes(20, 30, "bilinear")
    load_pairs(find_pairs(tmp_path).samples, 1, notes)
    assert notes.lines() == ["1 of 7 masks of classes with defects show none, e.g. exp1_num_5.png"]


def test_a_defect_lost_in_resizing_is_said(tmp_path: Path) -> None:
    speck = EMPTY.copy()
    speck[3, 4] = 255
    pair(tmp_path, "Crack", 1, speck)
    notes = Notes(10, 10, "bicubic")
    _, masks = load_pairs(find_pairs(tmp_path).samples, 3, notes)
    assert not masks.any()
    assert notes.lines() == [
        "1 of 1 masks lose their defect at the network's size, e.g. exp1_num_1.png",
        "1 of 1 pictures resized to 10x10 (bicubic; masks by area), e.g. exp1_num_1.jpg was 20x30",
    ]


def test_a_mask_shrinks_by_area() -> None:
    """Two by two pixels become one: above half of them is defect, and two of four are above 127."""
    rng = np.random.default_rng(0)
    mask = (255 * rng.integers(0, 2, (40, 60, 1))).astype(np.uint8)
    defects = (mask[:, :, 0] > 0).reshape(20, 2, 30, 2).sum(axis=(1, 3))
    assert np.array_equal(resize_mask(mask, 20, 30), defects >= 2)


def test_picture_and_mask_see_the_same_view() -> None:
    """The picture is the mask painted: whatever happens to one must happen to the other."""
    rng = np.random.default_rng(1)
    mask = np.repeat(np.repeat(255 * rng.integers(0, 2, (4, 5)), 12, 0), 12, 1).astype(np.uint8)
    seen: set[bytes] = set()
    for seed in range(100):
        view, truth = augment_pair(
            mask[:, :, None], mask[:, :, None], 40, 40, np.random.default_rng(seed), 0.0, "box"
        )
        assert np.array_equal(view[:, :, 0] > 127, truth)
        seen.add(truth[::4, ::4].tobytes())
    assert len(seen) > 50


def test_the_picture_is_augmented_as_without_a_mask() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    mask = np.zeros((40, 30, 1), dtype=np.uint8)
    for seed in range(20):
        alone = augment(picture, 24, 24, np.random.default_rng(seed))
        together, _ = augment_pair(picture, mask, 24, 24, np.random.default_rng(seed))
        assert np.array_equal(alone, together)


def test_the_eight_views_of_a_mask() -> None:
    mask = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    whole = (0.0, 0.0, 8.0, 8.0)
    views = [View(whole, flips).of(mask, 8, 8, "box")[:, :, 0] for flips in range(8)]
    expected = [np.rot90(m, k) for m in (mask[:, :, 0], mask[::-1, :, 0]) for k in range(4)]
    assert {v.tobytes() for v in views} == {np.ascontiguousarray(e).tobytes() for e in expected}
    assert len({v.tobytes() for v in views}) == 8


def figures_by_definition(found: list[int], truth: list[int]) -> dict[str, Fraction | None]:
    """The figures pixel by pixel, in fractions."""
    n = len(truth)
    defect = [f for f, t in zip(found, truth, strict=True) if t]
    free = [f for f, t in zip(found, truth, strict=True) if not t]
    right = sum(f == t for f, t in zip(found, truth, strict=True))
    both, either = sum(defect), sum(found) + sum(truth)

    def share(part: int, whole: int) -> Fraction | None:
        return Fraction(part, whole) if whole else None

    return {
        "accuracy": Fraction(right, n),
        "precision": share(both, sum(found)),
        "recall": share(both, len(defect)),
        "fpr": share(sum(free), len(free)),
        "fnr": share(len(defect) - both, len(defect)),
        "mae": Fraction(sum(abs(f - t) for f, t in zip(found, truth, strict=True)), n),
        "dice": share(2 * both, either if defect else 0),
    }


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.integers(0, 2, 50),
        lambda rng: np.zeros(50, dtype=np.int64),
        lambda rng: np.ones(50, dtype=np.int64),
    ],
    ids=["random", "nothing found", "all found"],
)
@pytest.mark.parametrize("truth", ["random", "free", "defect"])
def test_figures_are_those_of_the_definition(
    draw: Callable[[np.random.Generator], npt.NDArray[np.int64]], truth: str
) -> None:
    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(20):
        found = draw(rng)
        fixed = {"random": rng.integers(0, 2, 50), "free": np.zeros(50), "defect": np.ones(50)}
        wanted = fixed[truth].astype(int)
        got = count_pixels(found.astype(bool), wanted.astype(bool)).figures()
        expected = figures_by_definition(found.tolist(), wanted.tolist())
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert got[name] == (None if value is None else float(value)), name
            compared += 1
    assert compared == 140


def test_paper_figures_agree_with_each_other() -> None:
    """Table 4 of the paper: accuracy 0.942 goes with MAE 0.058."""
    figures = Counts(tp=75, fp=10, fn=48, tn=867).figures()
    assert figures["accuracy"] == 0.942
    assert figures["mae"] == 0.058


def test_score_adds_up_per_class() -> None:
    rng = np.random.default_rng(4)
    found, truth = (rng.integers(0, 2, (7, 9, 11)).astype(bool) for _ in range(2))
    truth[2] = found[2] = False
    labels = [0, 1, 3, 0, 1, 1, 0]
    result = score(found, truth, labels, ("a", "b", "none", "free"))
    assert list(result["per_class"]) == ["a", "b", "free"]
    assert [r["n"] for r in result["per_class"].values()] == [3, 3, 1]
    for key in ("tp", "fp", "fn", "tn"):
        assert result["pixels"][key] == sum(r["pixels"][key] for r in result["per_class"].values())
    assert sum(result["pixels"].values()) == truth.size
    assert result["dice"] == 2 * (found & truth).sum() / (found.sum() + truth.sum())
    free = result["per_class"]["free"]
    assert (free["accuracy"], free["fpr"], free["recall"], free["dice"]) == (1.0, 0.0, None, None)


def test_synthetic_masks_lie_where_the_defect_is(tmp_path: Path) -> None:
    written = generate_masked(tmp_path, per_class=3, size=48, seed=2)
    dataset = find_pairs(tmp_path)
    assert dataset.classes == tuple(sorted(MASKED_CLASSES))
    assert {s.path for s in dataset.samples} == set(written)
    notes = Notes(48, 48, "bilinear")
    pictures, masks = load_pairs(dataset.samples, 1, notes)
    assert notes.lines() == []
    for sample, picture, mask in zip(dataset.samples, pictures, masks, strict=True):
        kind = dataset.classes[sample.label]
        assert mask.any() == (kind != "Free")
        if mask.any():
            change = picture[mask].mean() - picture[~mask].mean()
            assert change > 10 if kind == "Scratches" else change < -10
    # The third picture of a class does not depend on how many are asked for.
    _, expected = masked_picture("Patches", np.random.default_rng([2, 2, 3]), 48)
    drawn = Image.open(tmp_path / "MT_Patches/Imgs/synthetic_3.png")
    assert np.array_equal(np.asarray(drawn), expected[:, :, 0])
    with pytest.raises(ValueError, match="found synthetic class 'crazing' with a mask"):
        masked_picture("crazing", np.random.default_rng(0), 48)
    with pytest.raises(ValueError, match="found 0 synthetic pictures per class"):
        generate_masked(tmp_path, 0, 48, 0)


@pytest.mark.data
def test_real_magnetic_tile(andpop_data: Path) -> None:
    dataset = find_pairs(andpop_data / "magnetic-tile")
    assert len(dataset.samples) == 1076
    _, chosen = split([s.label for s in dataset.samples], 0.2)
    notes = Notes(112, 112, "bilinear")
    samples: list[Sample] = [dataset.samples[i] for i in chosen]
    pictures, masks = load_pairs(samples, 1, notes)
    assert pictures.shape == (214, 112, 112, 1)
    free = dataset.classes.index("Free")
    missing = [s for s, m in zip(samples, masks, strict=True) if m.any() == (s.label == free)]
    assert len(missing) <= 2
    assert [line.split(" masks ")[1][:11] for line in notes.lines()][0] == "have values"

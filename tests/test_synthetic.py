# SPDX-License-Identifier: Apache-2.0
"""Synthetic surfaces: repeatable, of any size, and different enough to be told apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from andpop.flows import api
from andpop.flows.errors import BAD_INPUT, OK, UsageError
from andpop.quant.pictures import read_picture
from andpop.quant.samples.found import find_samples
from andpop.quant.samples.pairs import find_pairs
from andpop.quant.synthetic import CLASSES, generate, picture
from program import Run


def test_same_seed_same_picture_other_seed_another() -> None:
    for name in CLASSES:
        first, again, other = (picture(name, np.random.default_rng(s), 48) for s in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [16, 33, 200])
def test_any_size_uses_the_grey_range(size: int) -> None:
    for name in CLASSES:
        drawn = picture(name, np.random.default_rng(0), size)
        assert drawn.shape == (size, size, 1)
        assert drawn.dtype == np.uint8
        assert 5 < float(drawn.std()) < 60
        assert 60 < float(drawn.mean()) < 190


def test_generated_folder_is_a_data_set(tmp_path: Path) -> None:
    written = generate(tmp_path, per_class=3, size=32, seed=4)
    dataset = find_samples(tmp_path)
    assert dataset.layout == "folders"
    assert dataset.classes == CLASSES
    assert {s.path for s in dataset.samples} == set(written)
    assert len(written) == 18
    # The third picture of a class does not depend on how many are asked for.
    expected = picture("patches", np.random.default_rng([4, 2, 3]), 32)
    assert np.array_equal(read_picture(tmp_path / "patches/patches_3.png", 32, 32, 1), expected)


def test_classes_can_be_told_apart() -> None:
    """A nearest-centroid rule on gradient and grey histograms is far above chance (1/6)."""

    def features(drawn: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        grey = drawn[:, :, 0].astype(np.float64)
        grey -= np.median(grey)
        dy, dx = np.diff(grey, axis=0), np.diff(grey, axis=1)
        edges = np.linspace(-90, 90, 13)
        parts = [np.histogram(v, edges)[0] / v.size for v in (grey, dy, dx)]
        return np.sqrt(np.concatenate(parts))

    def sample(start: int) -> npt.NDArray[np.float64]:
        return np.array(
            [
                [
                    features(picture(name, np.random.default_rng([7, label, n]), 96))
                    for n in range(start, start + 20)
                ]
                for label, name in enumerate(CLASSES)
            ]
        )

    centroids = sample(0).mean(axis=1)
    distance = np.linalg.norm(sample(20)[:, :, None] - centroids, axis=3)
    accuracy = (distance.argmin(axis=2) == np.arange(6)[:, None]).mean()
    assert accuracy > 0.7


def test_refuses_impossible_requests(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found synthetic class 'rust'"):
        picture("rust", np.random.default_rng(0), 32)
    with pytest.raises(ValueError, match="found synthetic picture size 8"):
        picture("patches", np.random.default_rng(0), 8)
    with pytest.raises(ValueError, match="found 0 synthetic pictures per class"):
        generate(tmp_path, 0, 32, 0)


def test_the_command_writes_what_train_reads(run: Run, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    arguments = ("--out", tmp_path / "set", "--count", 2, "--size", 32, "--seed", 4, "--json")
    code, out, _ = run("synthetic", *arguments)
    result = json.loads(out)
    assert code == OK
    assert (result["pictures"], result["classes"]) == (12, dict.fromkeys(CLASSES, 2))
    assert find_samples(tmp_path / "set").classes == CLASSES
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    expected = picture("patches", np.random.default_rng([4, 2, 2]), 32)
    found = read_picture(tmp_path / "set/patches/patches_2.png", 32, 32, 1)
    assert np.array_equal(found, expected)


def test_the_command_writes_masks_that_train_reads(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "synthetic", "--out", tmp_path / "set", "--count", 2, "--size", 32, "--masks"
    )
    assert code == OK
    assert "andpop train u-binet" in out
    pairs = find_pairs(tmp_path / "set")
    assert (pairs.layout, len(pairs.samples)) == ("magnetic-tile", 8)


def test_the_command_overwrites_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/letter").write_text("dear reader")
    (tmp_path / "file").write_text("in the way")
    for name, words in (("set", "with something in it"), ("file", "found the file")):
        code, _, err = run("synthetic", "--out", tmp_path / name, "--count", 1)
        assert code == BAD_INPUT
        assert words in err and len(err.splitlines()) == 1
    assert {path.name for path in tmp_path.rglob("*")} == {"set", "letter", "file"}


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.synthetic(tmp_path / "set", count=1, size=32, progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [{"count": 0}, {"size": 15}, {"seed": -1}, {"size": 5000}])
def test_numbers_of_the_command_are_bounded(values: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected"):
        api.synthetic(tmp_path / "set", **values)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())

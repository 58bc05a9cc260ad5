# SPDX-License-Identifier: Apache-2.0
"""The shipped U-BiNet the whole way: checkpoint to masks out of Verilator, no bit different."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from andpop.flows import api
from andpop.hw.rtl.top_info import TopInfo
from andpop.models.build import load_network
from andpop.quant.samples.pairs import find_pairs
from andpop.quant.synthetic import generate_masked
from andpop.quant.tasks.mask_lessons import prepare
from andpop.quant.training.run import predict
from slice_checks import BACKENDS, check_comparison

# One worker builds the network once for all tests of this file.
pytestmark = pytest.mark.xdist_group("u-binet-slice")

SHIPPED = api.ZOO / "u-binet-k4-mt.safetensors"
SIDE = 64


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles")
    generate_masked(folder, per_class=1, size=SIDE, seed=2)
    return folder


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of the shipped checkpoint at 64x64."""
    folder = tmp_path_factory.mktemp("u-binet") / "build"
    api.build(SHIPPED, folder, input=f"{SIDE}x{SIDE}x1")
    return folder


@pytest.mark.sim
def test_every_backend_gives_the_same_masks(build: Path, tiles: Path) -> None:
    result = api.compare(build, tiles, BACKENDS, count=2)
    check_comparison(result, pictures=2, layers=40, values=1_000_000)


@pytest.mark.sim
def test_the_hardware_keeps_its_stated_pace(build: Path, tiles: Path) -> None:
    result = api.simulate(build, tiles, count=3, capture=False)
    assert result["values_compared"] == 3 * SIDE * SIDE
    assert result["values_differing"] == 0
    stated = TopInfo.load(build / "rtl").slowest.cycles
    assert stated <= result["interval"] <= 1.05 * stated


def test_the_report_tells_what_the_skips_store(build: Path) -> None:
    skips = json.loads((build / "report.json").read_text())["skips"]
    assert len(skips) == 4
    for skip in skips:
        assert 0 < skip["bound_bits"] <= skip["peak_bits"] <= skip["bits"]


@pytest.mark.data
@pytest.mark.full
def test_the_card_says_what_validation_finds(andpop_data: Path) -> None:
    net, card = load_network(SHIPPED)
    size = card.input
    dataset = find_pairs(andpop_data / "magnetic-tile", ())
    task = prepare(dataset, size.height, size.width, size.channels, seed=card.seed)
    found = task.result(predict(net, task.val_pictures, "cpu"), [])
    assert net.frozen and found.n == card.validation_pictures == 214
    assert found.figures["dice"] == card.dice
    assert found.figures["accuracy"] == card.accuracy
    metrics = json.loads(SHIPPED.with_suffix(".metrics.json").read_text())
    assert found.score["pixels"] == metrics["pixels"]

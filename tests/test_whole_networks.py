# SPDX-License-Identifier: Apache-2.0
"""The whole way of every network: checkpoint, QONNX, dataflow graph, CPU and RTL, no bit different.

``bi-shufflenet-neu`` is too large to be simulated in ``make test``: there the random one, of a
quarter of its width, stands for it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from andpop.flows import api
from andpop.flows.models import load
from andpop.hw.rtl.top_info import TopInfo
from andpop.quant.checkpoint import read_card
from networks import BACKENDS, RANDOM, SHIPPED, Subject, check_comparison, grouped

LARGE = "bi-shufflenet-neu"
SIMULATED = (RANDOM, *(s for s in SHIPPED if s.name != LARGE))
REAL_SIDE = 64
"""Rows and columns of builds that see real pictures."""


@pytest.fixture(scope="module", params=grouped(*SIMULATED))
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.param


@pytest.fixture(scope="module")
def build(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of a network."""
    folder = tmp_path_factory.mktemp("build")
    side = subject.side
    api.build(
        subject.checkpoint(folder), folder / "build",
        input=f"{side}x{side}x1", target_cycles=subject.target_cycles,
    )  # fmt: skip
    return folder / "build"


@pytest.fixture(scope="module")
def pictures(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return subject.draw(tmp_path_factory.mktemp("pictures"))


@pytest.mark.sim
def test_every_backend_gives_the_same_bits(subject: Subject, build: Path, pictures: Path) -> None:
    result = api.compare(build, pictures, BACKENDS, count=subject.pictures)
    check_comparison(result, subject)


@pytest.mark.sim
def test_the_hardware_keeps_its_stated_pace(subject: Subject, build: Path, pictures: Path) -> None:
    count = 3 if subject.masks else 4
    result = api.simulate(build, pictures, count=count, capture=False)
    assert result["images"] == count
    assert result["values_compared"] == count * subject.answers
    assert result["values_differing"] == 0
    assert len(result["layers"]) == 1
    assert sum(len(gap["layers"]) for gap in result["not_covered"]) == result["layers_total"] - 1
    assert {"only the output was compared (--no-capture)"} == {
        gap["reason"] for gap in result["not_covered"]
    }
    stated = TopInfo.load(build / "rtl").slowest.cycles
    assert subject.target_cycles is None or stated <= subject.target_cycles
    assert stated <= result["interval"] <= 1.05 * stated
    assert result["sim_cycles_per_second"] > 1e4
    assert {"cycles_per_frame", "build_seconds"} <= set(result)


def test_the_report_tells_the_implementations(build: Path) -> None:
    report = json.loads((build / "report.json").read_text())
    units = {row["name"]: row for row in report["implementations"]}
    ops = {n["name"]: n["op"].removesuffix("_rtl") for n in report["cycles"]["nodes"]}
    choosing = ("BinaryMvu", "PaMvu", "PaBlock", "SignedThresholding", "Epilogue", "ImageConv")
    assert sorted(units) == sorted(name for name, op in ops.items() if op in choosing)
    for name, row in units.items():
        chosen = row["luts"][row["implementation"]]
        # What one DSP computes has to be in time, too, and DSPs count.
        assert chosen == min(row["luts"].values()) or ops[name] in ("Epilogue", "ImageConv")
    page = (build / "report.html").read_text()
    assert all(name in page for name in units)


def test_the_report_tells_what_the_skips_store(subject: Subject, build: Path) -> None:
    skips = json.loads((build / "report.json").read_text())["skips"]
    assert len(skips) == (4 if subject.masks else 0)
    for skip in skips:
        assert 0 < skip["bound_bits"] <= skip["peak_bits"] <= skip["bits"]


@pytest.fixture(scope="module", params=grouped(*SHIPPED))
def shipped(request: pytest.FixtureRequest) -> Subject:
    return request.param


@pytest.mark.data
def test_real_pictures_are_exact(shipped: Subject, andpop_data: Path, tmp_path: Path) -> None:
    size = f"{REAL_SIDE}x{REAL_SIDE}x1"
    api.build(shipped.checkpoint(tmp_path), tmp_path / "build", input=size, until="pack")
    images = andpop_data / shipped.real
    result = api.compare(tmp_path / "build", images, ("torch", "cpu"), count=shipped.count)
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    assert all(row["pictures"] == shipped.count for row in result["backends"])
    some = api.compare(tmp_path / "build", images, ("qonnx",), count=shipped.qonnx)
    assert some["values_differing"] == 0


@pytest.mark.data
def test_the_card_says_what_validation_finds(shipped: Subject, andpop_data: Path) -> None:
    checkpoint = shipped.checkpoint(andpop_data)
    card, model = read_card(checkpoint), load(checkpoint)
    task, size = model.task, card.input
    dataset = task.find(andpop_data / shipped.real.partition("/")[0])
    lessons = task.prepare(
        dataset, size.height, size.width, size.channels, validation=0.2, seed=card.seed
    )
    (output,) = model.outputs(lessons.val_pictures).values()
    found = lessons.result(output.values, [])
    assert card.frozen and found.n == card.validation_pictures == (214 if shipped.masks else 288)
    assert found.figures["accuracy"] == card.accuracy >= 0.975
    metrics = json.loads(checkpoint.with_suffix(".metrics.json").read_text())
    if shipped.masks:
        assert found.figures["dice"] == card.dice
        assert found.summary()["pixels"] == metrics["pixels"]
    else:
        assert found.confusion == metrics["confusion"]


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.data
@pytest.mark.timeout(3600)
def test_real_pictures_in_hardware(shipped: Subject, andpop_data: Path, tmp_path: Path) -> None:
    size = f"{REAL_SIDE}x{REAL_SIDE}x1"
    api.build(shipped.checkpoint(tmp_path), tmp_path / "build", input=size)
    images = andpop_data / shipped.real
    if not shipped.masks:
        images = images / "scratches"
    result = api.simulate(tmp_path / "build", images, count=4)
    print({k: v for k, v in result.items() if k != "layers"})
    assert result["images"] == 4
    assert result["values_differing"] == 0
    assert result["values_compared"] > (1_200_000 if shipped.name == LARGE else 500_000)
    stated = TopInfo.load(tmp_path / "build" / "rtl").slowest.cycles
    assert result["interval"] <= 1.05 * stated
    assert result["sim_cycles_per_second"] > 1e4

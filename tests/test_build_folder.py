# SPDX-License-Identifier: Apache-2.0
"""A finished build: what lies in its folder, a second build, eval, and faults planted in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from andpop.flows import api
from andpop.hw.graph.fifo_sizing import round_depth
from andpop.quant import synthetic
from networks import RANDOM
from program import Run

# One worker builds the network once for all tests of this file.
pytestmark = pytest.mark.xdist_group(RANDOM.name)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RANDOM.checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def small(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of the small network."""
    folder = tmp_path_factory.mktemp("small") / "build"
    api.build(checkpoint, folder, target_cycles=RANDOM.target_cycles)
    return folder


def test_a_build_holds_what_it_promises(small: Path) -> None:
    names = {
        "checkpoint.safetensors",
        "checkpoint.json",
        "model.qonnx.onnx",
        "dataflow.onnx",
        "folding.json",
        "fit.json",
        "fifo.json",
        "rtl",
        "report.json",
        "report.html",
        "model.andpop",
    }
    assert names <= {path.name for path in small.iterdir()}
    report = json.loads((small / "report.json").read_text())
    assert report["cycles"]["slowest"]["cycles"] <= RANDOM.target_cycles
    page = (small / "report.html").read_text()
    assert report["cycles"]["slowest"]["name"] in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_build_says_what_it_takes_of_its_board(small: Path) -> None:
    """The report with FIFOs as they were sized, fit.json as they were expected."""
    expected = json.loads((small / "fit.json").read_text())
    found = json.loads((small / "report.json").read_text())["fit"]
    for fit in (expected, found):
        assert fit["board"] == "pynq-z2" and fit["fits"] is True and fit["moves"] == []
        for row in fit["resources"]:
            assert row["used"] == sum(node[row["resource"]] for node in fit["nodes"])
            assert row["used"] <= row["allowed"] <= row["have"]
    assert [n["name"] for n in expected["nodes"]] == [n["name"] for n in found["nodes"]]


def test_a_build_that_does_not_fit_ends_with_1(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ("build", checkpoint, "--out", tmp_path / "b", "--until", "fold", "--lut-share")
    code, _, err = run(*arguments, "0.5")
    text = " ".join(err.split())
    assert code == 1 and "does not fit pynq-z2 at any pace" in text
    assert "LUTs, expected at most 266" in text and "--width" in text
    assert not (tmp_path / "b").exists()
    code, _, err = run(*arguments, "0")
    assert code == 2 and "lut_share" in err


def test_no_fifo_is_deeper_than_the_run_needed(small: Path) -> None:
    fifos = json.loads((small / "fifo.json").read_text())
    assert 10 < len(fifos) < 40, "a FIFO stands where words wait"
    for name, fifo in fifos.items():
        assert fifo["peak"] <= fifo["depth"] == round_depth(fifo["peak"], fifo["width"]), name


def test_a_second_build_skips_everything(checkpoint: Path, small: Path) -> None:
    again = api.build(checkpoint, small, target_cycles=RANDOM.target_cycles)
    assert all(row["skipped"] for row in again["steps"])


def test_eval_counts_right_pictures(small: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path, 2, RANDOM.side, seed=9)
    result = api.evaluate(small, tmp_path)
    assert result["n"] == 12
    assert result["accuracy"] == result["correct"] / 12
    for backend in ("golden", "torch"):
        other = api.evaluate(small, tmp_path, backend=backend)
        assert other["confusion"] == result["confusion"]


def plant(memory: Path, edit: Any) -> str:
    """Change a memory file in place; returns the old text."""
    text = memory.read_text()
    lines = text.split()
    edit(lines)
    memory.write_text("\n".join(lines) + "\n")
    return text


@pytest.mark.sim
@pytest.mark.full
def test_a_planted_fault_is_found_at_its_layer(small: Path, tmp_path: Path) -> None:
    pictures = RANDOM.draw(tmp_path)

    def flip(lines: list[str]) -> None:
        lines[0] = f"{int(lines[0], 16) ^ 1:0{len(lines[0])}x}"

    node, unit = (f"stage3_2_right_1_{op}" for op in ("BinaryBlock", "XnorMvu"))
    (memory,) = (small / "rtl").rglob(f"{node}_weights.mem")
    old = plant(memory, flip)
    try:
        result = api.simulate(small, pictures, count=2, trust=True)
    finally:
        memory.write_text(old)
    first = result["first_divergence"]
    assert result["values_differing"] > 0
    assert first["node"] == node
    assert first["layer"] == f"{unit}_out"
    assert abs(first["expected"] - first["got"]) == 2
    assert int(first["expected_bits"], 2) != int(first["got_bits"], 2)
    assert Path(first["waveform"]).stat().st_size > 0
    assert first["reproduce"].startswith("andpop simulate")

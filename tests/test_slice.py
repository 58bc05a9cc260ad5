# SPDX-License-Identifier: Apache-2.0
"""The whole way: checkpoint, QONNX, dataflow graph, CPU model and RTL, no bit different."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from andpop.flows import api
from andpop.flows.backends import Golden
from andpop.flows.files import BuildFiles
from andpop.hw.graph.fifo_sizing import round_depth
from andpop.hw.rtl.top_info import TopInfo
from andpop.models.build import build as build_network
from andpop.models.build import save_network
from andpop.quant import synthetic
from andpop.quant.checkpoint import Card, InputSize
from andpop.sim.bench import run_cocotb
from slice_checks import BACKENDS, check_comparison

# One worker builds the networks once for all tests of this file.
pytestmark = pytest.mark.xdist_group("slice")

WIDTH, SIDE = 0.25, 32


def random_checkpoint(path: Path) -> Path:
    """A frozen network of width 0.25 with random weights and statistics, gammas of both signs."""
    torch.manual_seed(3)
    net = build_network("bi-shufflenet", {"width": WIDTH})
    net.train()
    for _ in range(4):
        net(torch.randint(0, 256, (8, 1, SIDE, SIDE)).float())
    with torch.no_grad():
        for name, value in net.named_parameters():
            if "epilogue" in name and value.ndim == 1:
                value.add_(0.1 * torch.randn_like(value))
            if name.endswith("gamma"):
                value[::5] *= -1
    net.freeze()
    card = Card(
        network="bi-shufflenet",
        config={"width": WIDTH},
        input=InputSize(height=SIDE, width=SIDE, channels=1),
        classes=list(synthetic.CLASSES),
        frozen=True,
    )
    save_network(net, path, card)
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    synthetic.generate(folder, 1, SIDE, seed=5)
    extremes = {"black": 0, "white": 255}
    from PIL import Image

    for name, value in extremes.items():
        Image.new("L", (SIDE, SIDE), value).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of the small network."""
    folder = tmp_path_factory.mktemp("small")
    checkpoint = random_checkpoint(folder / "small.safetensors")
    api.build(checkpoint, folder / "build", target_cycles=6000)
    return folder / "build"


@pytest.mark.sim
def test_every_backend_gives_the_same_bits(small: Path, pictures: Path) -> None:
    result = api.compare(small, pictures, BACKENDS)
    check_comparison(result, pictures=8, layers=200, values=100_000)


@pytest.mark.sim
def test_the_hardware_keeps_its_stated_pace(small: Path, pictures: Path) -> None:
    result = api.simulate(small, pictures, count=4, capture=False)
    assert result["images"] == 4
    assert result["values_compared"] == 4
    assert result["values_differing"] == 0
    stated = TopInfo.load(small / "rtl").slowest.cycles
    assert stated <= 6000
    assert stated <= result["interval"] <= 1.05 * stated
    assert result["sim_cycles_per_second"] > 1e4
    assert {"cycles_per_frame", "build_seconds"} <= set(result)


def test_a_build_holds_what_it_promises(small: Path) -> None:
    names = {
        "checkpoint.safetensors",
        "checkpoint.json",
        "model.qonnx.onnx",
        "dataflow.onnx",
        "folding.json",
        "fifo.json",
        "rtl",
        "report.json",
        "report.html",
        "model.andpop",
    }
    assert names <= {path.name for path in small.iterdir()}
    report = json.loads((small / "report.json").read_text())
    assert report["cycles"]["slowest"]["cycles"] <= 6000
    page = (small / "report.html").read_text()
    assert report["cycles"]["slowest"]["name"] in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_no_fifo_is_deeper_than_the_run_needed(small: Path) -> None:
    fifos = json.loads((small / "fifo.json").read_text())
    assert len(fifos) > 300
    for name, fifo in fifos.items():
        assert fifo["peak"] <= fifo["depth"] == round_depth(fifo["peak"], fifo["width"]), name


def test_a_second_build_skips_everything(small: Path) -> None:
    source = small.parent / "small.safetensors"
    again = api.build(source, small, target_cycles=6000)
    assert all(row["skipped"] for row in again["steps"])


def test_eval_counts_right_pictures(small: Path, tmp_path: Path) -> None:
    synthetic.generate(tmp_path, 2, SIDE, seed=9)
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
def test_a_planted_fault_is_found_at_its_layer(small: Path, pictures: Path) -> None:
    def flip(lines: list[str]) -> None:
        lines[0] = f"{int(lines[0], 16) ^ 1:0{len(lines[0])}x}"

    node = "stage3_2_right_1_XnorMvu"
    (memory,) = (small / "rtl").rglob(f"{node}_weights.mem")
    old = plant(memory, flip)
    try:
        result = api.simulate(small, pictures, count=2, trust=True)
    finally:
        memory.write_text(old)
    first = result["first_divergence"]
    assert result["values_differing"] > 0
    assert first["node"] == node
    assert first["layer"] == f"{node}_out"
    assert abs(first["expected"] - first["got"]) == 2
    assert int(first["expected_bits"], 2) != int(first["got_bits"], 2)
    assert Path(first["waveform"]).stat().st_size > 0
    assert first["reproduce"].startswith("andpop simulate")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped checkpoint at 64x64, without RTL."""
    folder = tmp_path_factory.mktemp("zoo") / "build"
    api.build(api.DEMO_CHECKPOINT, folder, input="64x64x1", until="pack")
    return folder


@pytest.mark.data
def test_300_real_pictures_are_exact(zoo: Path, andpop_data: Path) -> None:
    images = andpop_data / "neu-det" / "images"
    result = api.compare(zoo, images, ("torch", "cpu"), count=300)
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    assert all(row["pictures"] == 300 for row in result["backends"])


@pytest.mark.data
def test_the_shipped_checkpoint_is_as_good_as_its_card_says(andpop_data: Path) -> None:
    from andpop.quant.pictures import read_picture
    from andpop.quant.samples.found import find_samples
    from andpop.quant.samples.split import split

    card = json.loads(api.DEMO_CHECKPOINT.with_suffix(".json").read_text())
    data = find_samples(andpop_data / "neu-det")
    _, validation = split([s.label for s in data.samples], 0.2, card["seed"])
    model = api.load(api.DEMO_CHECKPOINT)
    height, width, channels = model.shape
    labels = np.array([data.samples[i].label for i in validation])
    paths = [data.samples[i].path for i in validation]
    pictures = [read_picture(p, height, width, channels, model.resize_filter) for p in paths]
    found, _ = model.run(np.stack(pictures))
    assert card["accuracy"] >= 0.975
    assert (found == labels).mean() == card["accuracy"]


@pytest.mark.sim
@pytest.mark.full
@pytest.mark.data
def test_published_network_at_64x64_on_real_pictures(tmp_path: Path, andpop_data: Path) -> None:
    api.build(api.DEMO_CHECKPOINT, tmp_path / "build", input="64x64x1")
    images = andpop_data / "neu-det" / "images" / "scratches"
    result = api.simulate(tmp_path / "build", images, count=4)
    print({k: v for k, v in result.items() if k != "layers"})
    assert result["images"] == 4
    assert result["values_differing"] == 0
    assert result["values_compared"] > 1_200_000
    stated = TopInfo.load(BuildFiles(tmp_path / "build").rtl).slowest.cycles
    assert result["interval"] <= 1.05 * stated
    assert result["sim_cycles_per_second"] > 1e4


@pytest.mark.sim
@pytest.mark.full
@pytest.mark.timeout(3600)
def test_published_network_under_cocotb(tmp_path: Path) -> None:
    """One picture through the top of the published network at 64x64, with and without stalls."""
    api.build(api.DEMO_CHECKPOINT, tmp_path / "build", input="64x64x1")
    files = BuildFiles(tmp_path / "build")
    pictures = synthetic.picture("patches", np.random.default_rng(2), 64)[None]
    expected = Golden(files).classes(pictures).tolist()
    plan = {"inputs": pictures.ravel().tolist(), "outputs": expected, "patience": 2_000_000}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    info = TopInfo.load(files.rtl)
    tests = run_cocotb(
        [files.rtl / source for source in info.sources],
        info.top,
        ["andpop.sim.tb_network"],
        tmp_path / "run",
        data=files.rtl,
        environment={"ANDPOP_PLAN": str(tmp_path / "plan.json")},
    )
    assert tests == 2


@pytest.mark.sim
@pytest.mark.full
@pytest.mark.timeout(3600)
def test_published_network_at_224x224(tmp_path: Path) -> None:
    api.build(api.DEMO_CHECKPOINT, tmp_path / "build", input="224x224x1")
    synthetic.generate(tmp_path / "pictures", 1, 224, seed=1)
    picture = next((tmp_path / "pictures").rglob("*.png"))
    result = api.simulate(tmp_path / "build", picture)
    print({k: v for k, v in result.items() if k != "layers"})
    assert result["values_differing"] == 0
    assert result["values_compared"] > 3_800_000

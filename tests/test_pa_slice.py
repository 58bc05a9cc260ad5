# SPDX-License-Identifier: Apache-2.0
"""Piecewise (PA) networks the whole way: checkpoint, QONNX, dataflow, CPU, RTL, no bit different."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from andpop.flows import api
from andpop.hw.rtl.top_info import TopInfo
from andpop.models.build import build as build_network
from andpop.models.build import save_network
from andpop.quant import synthetic
from andpop.quant.checkpoint import Card, InputSize

# One worker builds the network once for all tests of this file.
pytestmark = pytest.mark.xdist_group("pa-slice")

SIDE = 32


def random_checkpoint(
    path: Path, network: str, config: dict[str, Any], size: tuple[int, int, int]
) -> Path:
    """A frozen network with random weights and statistics, gammas of both signs and zero."""
    height, width, channels = size
    torch.manual_seed(3)
    net = build_network(network, config)
    net.train()
    with torch.no_grad():
        for _ in range(4):
            net(torch.randint(0, 256, (4, channels, height, width)).float())
        for name, value in net.named_parameters():
            if value.ndim == 1 and "endpoints" not in name:
                value.add_(0.1 * torch.randn_like(value))
            if name.endswith("gamma"):
                value[::5] *= -1
                value[3] = 0
    net.freeze()
    card = Card(
        network=network,
        config=config,
        input=InputSize(height=height, width=width, channels=channels),
        classes=[f"class {i}" for i in range(net.config.classes)],
        frozen=True,
    )
    save_network(net, path, card)
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    synthetic.generate(folder, 1, SIDE, seed=5)
    from PIL import Image

    for name, value in {"black": 0, "white": 255}.items():
        Image.new("L", (SIDE, SIDE), value).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of the small residual network."""
    folder = tmp_path_factory.mktemp("pa")
    checkpoint = random_checkpoint(
        folder / "small.safetensors", "pa-resnet-small", {}, (SIDE, SIDE, 1)
    )
    api.build(checkpoint, folder / "build", target_cycles=16_000)
    return folder / "build"


@pytest.mark.sim
def test_every_backend_gives_the_same_bits(small: Path, pictures: Path) -> None:
    result = api.compare(small, pictures, ("torch", "qonnx", "golden", "cpu", "rtl"))
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["first_divergence"] is None
    assert result["values_differing"] == 0
    per_backend = {row["backend"]: row for row in result["backends"]}
    assert set(per_backend) == {"torch", "qonnx", "cpu", "rtl"}
    for row in per_backend.values():
        assert row["pictures"] == 8
        assert row["layers"] > 40
        assert row["values_compared"] > 50_000


@pytest.mark.sim
def test_the_hardware_keeps_its_stated_pace(small: Path, pictures: Path) -> None:
    result = api.simulate(small, pictures, count=4, capture=False)
    assert result["values_compared"] == 4
    assert result["values_differing"] == 0
    stated = TopInfo.load(small / "rtl").slowest.cycles
    assert stated <= result["interval"] <= 1.05 * stated


def test_the_report_tells_the_implementations(small: Path) -> None:
    report = json.loads((small / "report.json").read_text())
    units = {row["name"]: row for row in report["implementations"]}
    assert len(units) == 14
    for row in units.values():
        assert row["luts"][row["implementation"]] == min(row["luts"].values())
    page = (small / "report.html").read_text()
    assert all(name in page for name in units)

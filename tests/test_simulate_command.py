# SPDX-License-Identifier: Apache-2.0
"""`andpop simulate`: with pauses, with the bodies that synthesis takes, and what it finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.commands.simulate import Mode
from andpop.flows.errors import UsageError
from andpop.hw.rtl import runs
from andpop.hw.rtl.top_info import TopInfo
from foreign_graphs import QONNX, Net, first, head
from PIL import Image
from program import Run


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The build of a small network whose second convolution has weights -1 and +1; pictures."""
    folder = tmp_path_factory.mktemp("simulated")
    net = Net(10, 10)
    signs = net.op(
        "BipolarQuant", [net.constant(net.weights(4, 4, 3, 3)), net.constant(1.0)], QONNX
    )
    conv = net.op("Conv", [first(net), signs], kernel_shape=[3, 3])
    head(net, net.quant(net.norm(conv, 4), signed=0), 4)
    onnx.save(net.model([1, 5]), folder / "net.onnx")
    api.build(folder / "net.onnx", folder / "build", target_cycles=1000)
    (folder / "pictures").mkdir()
    for number in range(3):
        values = np.random.default_rng(number).integers(0, 256, (10, 10), dtype=np.uint8)
        Image.fromarray(values).save(folder / "pictures" / f"{number}.png")
    return folder / "build", folder / "pictures"


def test_pauses_are_seeds_and_shares_at_both_ends() -> None:
    found = [(p.seed, p.percent_in, p.percent_out) for p in Mode(pauses=6).seeds()]
    assert found[:3] == [(1, 20, 60), (2, 30, 50), (3, 40, 40)]
    assert found[5] == (6, 20, 60)
    assert Mode(False, 2, True).options == " --no-capture --pauses 2 --primitives"


@pytest.mark.sim
def test_runs_with_pauses_are_compared_each(network: tuple[Path, Path]) -> None:
    folder, pictures = network
    found = api.simulate(folder, pictures, pauses=2)
    assert found["values_differing"] == 0 and not found["primitives"]
    rows = found["pauses"]
    assert [row["seed"] for row in rows] == [1, 2]
    assert all(row["values_compared"] == found["values_compared"] > 500 for row in rows)
    assert all(row["values_differing"] == 0 for row in rows)


@pytest.mark.sim
def test_bodies_made_of_cells_are_simulated(network: tuple[Path, Path], run: Run) -> None:
    folder, pictures = network
    plain = api.simulate(folder, pictures, count=1)
    found = api.simulate(folder, pictures, count=1, primitives=True)
    assert found["primitives"] and found["values_differing"] == 0
    for figure in ("values_compared", "cycles_per_frame", "interval"):
        assert found[figure] == plain[figure]
    code, text, _ = run(
        "simulate", folder, "--images", pictures, "--count", 1, "--primitives", "--json"
    )
    assert code == 0 and json.loads(text)["primitives"]


@pytest.mark.sim
def test_a_wrong_cell_is_found(network: tuple[Path, Path], tmp_path: Path) -> None:
    """The cells do the work: with a carry chain that forgets its carries, values differ."""
    from andpop.hw.rtl.simulate import simulate
    from andpop.hw.synth import yosys

    folder, pictures = network
    shown = np.stack([np.asarray(Image.open(p)) for p in sorted(pictures.iterdir())])[..., None]
    models = yosys.cells_sim().read_text(encoding="utf-8")
    right = "assign O = S ^ {CO[2:0], CI | CYINIT};"
    assert models.count(right) == 1
    (tmp_path / "cells.v").write_text(models.replace(right, "assign O = S;"), encoding="utf-8")
    plain = simulate(folder / "rtl", shown, capture=True)
    wrong = simulate(folder / "rtl", shown, capture=True, cells=tmp_path / "cells.v")
    assert any(np.any(plain.tensors[t] != wrong.tensors[t]) for t in plain.tensors)


def test_a_negative_number_of_pauses_is_refused(network: tuple[Path, Path], run: Run) -> None:
    folder, pictures = network
    with pytest.raises(UsageError, match="pauses: found -1, expected 0 or more"):
        api.simulate(folder, pictures, pauses=-1)
    code, _, text = run("simulate", folder, "--images", pictures, "--pauses", "-1")
    assert code == 2 and "--pauses" in text


def test_cells_go_beside_the_plain_sources(
    network: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def build(folder: Path, sources: list[str], top: str, **options: object) -> tuple[Path, float]:
        asked.update(options, sources=sources)
        return folder, 0.0

    monkeypatch.setattr(runs, "build_network", build)
    rtl = network[0] / "rtl"
    runs.build(rtl, TopInfo.load(rtl), cells=Path("/models/cells.v"))
    assert asked["defines"] == ["ANDPOP_PRIMITIVES=1", "ANDPOP_BUILT_FIFOS"]
    assert "fifo_depths_pkg.sv" in asked["sources"]
    assert asked["sources"][-1] == "/models/cells.v"

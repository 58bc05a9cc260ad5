# SPDX-License-Identifier: Apache-2.0
"""The routed netlist of a board, at the pins of its UART, gives the CPU engine's results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from andpop.flows import api
from andpop.flows.errors import BAD_INPUT, OK
from foreign_networks import export_fc
from PIL import Image
from program import Run
from test_bitstream import BOARD, SIDE, built
from test_fully_connected import draw

__all__ = ["built"]

pytestmark = [pytest.mark.sim, pytest.mark.xdist_group("bitstream")]

PICTURES = 100


def test_the_routed_chip_gives_the_classes(built: Path, run: Run, tmp_path: Path) -> None:
    project = built.with_name(f"{built.name}-{BOARD}")
    code, _, _ = run("bitstream", built)
    assert code == OK
    for number in range(PICTURES):
        values = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / f"{number:03}.png")
    code, out, _ = run("run", built, "--routed", project, "--images", tmp_path, "--check", "--json")
    found = json.loads(out)
    assert code == OK and found["pictures"] == PICTURES
    assert found["check"]["values_compared"] >= PICTURES and found["values_differing"] == 0
    assert len({row["index"] for row in found["predictions"]}) > 1
    assert found["status"]["pictures"] == PICTURES and found["status"]["refused"] == 0


@pytest.mark.full
@pytest.mark.timeout(5400)
def test_a_routed_tfc_gives_the_classes(run: Run, tmp_path: Path) -> None:
    """brevitas_examples' TFC_1W1A, as exported: 100 random pictures through the routed chip."""
    file = export_fc("tfc_1w1a", tmp_path / "tfc.onnx")
    api.build(file, tmp_path / "tfc", board=BOARD, target_cycles=3136)
    found = api.bitstream(tmp_path / "tfc")
    assert found["placed"] and found["reached_mhz"] >= found["asked_mhz"]
    draw(tmp_path / "pictures", (28, 28), PICTURES)
    code, out, _ = run(
        "run", tmp_path / "tfc", "--routed", tmp_path / f"tfc-{BOARD}", "--images",
        tmp_path / "pictures", "--check", "--json",
    )  # fmt: skip
    told = json.loads(out)
    assert code == OK and told["pictures"] == PICTURES
    assert told["check"]["values_compared"] >= PICTURES and told["values_differing"] == 0
    assert len({row["index"] for row in told["predictions"]}) > 1


def test_a_folder_that_was_not_routed_is_refused(built: Path, run: Run, tmp_path: Path) -> None:
    code, _, err = run("run", built, "--routed", tmp_path, "--self-test")
    assert code == BAD_INPUT and err.count("andpop:") == 1
    assert "found no project.json, expected a project folder; run `andpop bitstream` first" in err


@pytest.mark.full
@pytest.mark.timeout(4 * 3600)
def test_a_trained_network_from_its_checkpoint_to_bits(tmp_path: Path, run: Run) -> None:
    """The commands of the guide: held-out pictures through the RTL and the routed netlist."""
    build, pictures = tmp_path / "build", tmp_path / "held"
    source, data = tmp_path / "small.safetensors", tmp_path / "synthetic"
    api.synthetic(data, count=1000)
    recipe = ("--input", "32x32x1", "--width", "0.25", "--epochs", "24", "--finetune-epochs", "4")
    code, _, err = run(
        "train", "bi-shufflenet", "--data", data, "--out", source, *recipe, "--threads", "1"
    )
    assert code == OK, err
    options = ("--target-cycles", "131072", "--share", "stage2,stage3,stage4")
    code, _, err = run("build", source, "--out", build, "--board", BOARD, *options)
    assert code == OK, err
    code, out, err = run("bitstream", build, "--json")
    assert code == OK, err
    found = json.loads(out)
    assert found["placed"] and found["reached_mhz"] >= found["asked_mhz"]
    assert all(row["share"] < 0.9 for row in found["resources"])
    project = Path(found["folder"])
    assert (project / "network.bit").stat().st_size > 300_000
    drawn = api.synthetic(pictures, count=-(-PICTURES // 6), seed=1)
    want = api.infer(build, pictures)["predictions"]
    for option in (("--routed", project), ("--simulated",)):
        code, out, err = run("run", build, *option, "--images", pictures, "--check", "--json")
        assert code == OK, err
        found = json.loads(out)
        assert found["pictures"] == drawn["pictures"] >= PICTURES
        assert found["check"]["values_compared"] >= PICTURES and found["values_differing"] == 0
        assert [row["class"] for row in found["predictions"]] == [row["class"] for row in want]
        right = sum(Path(row["picture"]).parent.name == row["class"] for row in want)
        assert right / len(want) > 0.85

# SPDX-License-Identifier: Apache-2.0
"""`andpop build --explain`: every node of a foreign file, not only the first that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from andpop.flows import api
from andpop.flows.errors import BAD_INPUT, CHECK_FAILED, OK
from foreign_graphs import GRAPHS, Net, first, head, plain, save
from program import Run

CLASS = "LabelSelect"


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.__name__)
def test_every_node_has_its_place(graph: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    result = api.explain(save(graph(), tmp_path))
    assert result["builds"]
    by = {row["node"]: row for row in result["nodes"]}
    made = [op for row in by.values() for op in row["ops"]]
    assert made and CLASS in made
    for row in by.values():
        assert row["verdict"] in ("hardware", "part")
        assert row["of"] == "" or by[row["of"]]["verdict"] == "hardware"


def troubled() -> onnx.ModelProto:
    """A softmax among the layers, weights that are no integers, and what lies around them."""
    net = Net()
    x = net.op("Softmax", [first(net)], axis=1)
    x = net.quant(x, signed=0)
    weight = net.quant(net.constant(net.weights(4, 4, 1, 1)), narrow=1)
    x = net.quant(net.op("Conv", [x, weight], kernel_shape=[1, 1]), signed=0)
    x = net.op("Conv", [x, net.constant(net.weights(4, 4, 1, 1))], kernel_shape=[1, 1])
    x = net.quant(net.norm(x, 4), signed=0)
    head(net, x, 4)
    return net.model([1, 5])


def test_all_refusals_are_told_and_what_waits_for_them(tmp_path: Path) -> None:
    rows = api.explain(save(troubled(), tmp_path))["nodes"]
    refused = {row["op"]: row["why"] for row in rows if row["verdict"] == "refused"}
    assert list(refused) == ["Softmax", "Conv"]
    assert refused["Softmax"].startswith("this op cannot be lowered; supported: ")
    assert "weight" in refused["Conv"]
    ops = {row["node"]: row for row in rows}
    softmax, bare = (row["node"] for row in rows if row["verdict"] == "refused")
    waits = {name: row["of"] for name, row in ops.items() if row["verdict"] == "waits"}
    assert set(waits.values()) == {softmax, bare}
    # The layer between the two is judged, and so is the head behind them.
    made = [(row["op"], row["ops"][-1]) for row in rows if row["verdict"] == "hardware"]
    thresholds, head_of_all = ("Conv", "Thresholding"), [("Conv", "IntMvu"), ("Flatten", CLASS)]
    assert made == [thresholds, thresholds, *head_of_all]


def test_the_command_says_it_and_writes_nothing(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "work"
    files = {name: folder / name for name in ("good", "bad")}
    for name, file in files.items():
        file.mkdir(parents=True)
        files[name] = save(plain() if name == "good" else troubled(), file)
    code, out, _ = run("build", files["good"], "--explain", "--json")
    assert code == OK and json.loads(out)["builds"] is True
    code, out, _ = run("build", files["bad"], "--explain")
    assert code == CHECK_FAILED
    for words in ("Does not build: 2 of ", "REFUSED", "not judged"):
        assert words in out
    code, _, said = run("build", files["bad"])
    assert code == BAD_INPUT and "--out: found none" in said
    code, _, said = run("build", "model.safetensors", "--explain")
    assert code == BAD_INPUT and "--explain reads somebody else" in said
    assert sorted(p for p in folder.rglob("*") if p.is_file()) == sorted(files.values())

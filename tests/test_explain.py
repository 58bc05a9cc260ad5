# SPDX-License-Identifier: Apache-2.0
"""`andpop build --explain`: every node of a foreign file, not only the first that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
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


def mixed_rows() -> onnx.ModelProto:
    """Rows of features that are multiplied by themselves, turned over: no size is known from
    there on. A second output does not depend on it."""
    net = Net()
    net.shape = [1, 6, 16]
    x = net.quant("x", 1.0, 8, signed=0)
    weight = net.quant(net.constant(net.weights(16, 4)), narrow=1)
    rows = net.quant(net.op("MatMul", [x, weight]))
    other = net.op("MatMul", [x, net.quant(net.constant(net.weights(16, 4)), narrow=1)])
    turned = net.op("Transpose", [other], perm=[0, 2, 1])
    x = net.quant(net.op("MatMul", [rows, turned]))
    net.op("Flatten", [net.op("MatMul", [x, net.quant(net.constant(net.weights(6, 3)))])])
    return net.model([1, 18])


def test_what_lies_in_front_of_an_unknown_size_is_told(tmp_path: Path) -> None:
    result = api.explain(save(mixed_rows(), tmp_path))
    assert not result["builds"] and "codes of Quant_0" in result["input"]
    by = {row["node"]: row for row in result["nodes"]}
    assert len(by) == len(result["nodes"]) == 11
    (refused,) = (row for row in by.values() if row["verdict"] == "refused")
    assert refused["op"] == "Transpose" and refused["why"].startswith("reads rows of features")
    behind = ["MatMul_7", "Quant_8", "MatMul_10", "Flatten_11"]
    assert [name for name, row in by.items() if row["of"] == refused["node"]][-4:] == behind
    assert [by[name]["verdict"] for name in behind] == ["waits"] * 4
    made = [row["ops"] for row in by.values() if row["verdict"] == "hardware"]
    assert made == [("Thresholding",), ("IntMvu", "Thresholding"), ("IntMvu",)]


def test_a_network_may_be_unknown_from_its_first_node_on(tmp_path: Path) -> None:
    net = Net()
    net.op("Flatten", [net.quant(net.op("NonZero", ["x"]))])
    result = api.explain(save(net.model([1, 5]), tmp_path))
    assert [row["verdict"] for row in result["nodes"]] == ["refused", "waits", "waits"]
    assert not result["builds"] and result["input"] == ""


def test_what_only_a_refused_node_reads_waits_for_it(tmp_path: Path) -> None:
    """A gate as of squeeze and excite: the product is what cannot be, not what leads to it."""
    net = Net()
    x = first(net)
    mean = net.op("ReduceMean", [x], axes=[2, 3])
    gate = net.op("Sigmoid", [mean])
    x = net.op("Mul", [x, gate])
    head(net, net.quant(x, signed=0), 4)
    rows = api.explain(save(net.model([1, 5]), tmp_path))["nodes"]
    verdicts = {row["op"]: row["verdict"] for row in rows}
    assert [row["op"] for row in rows if row["verdict"] == "refused"] == ["Mul"]
    assert verdicts["Sigmoid"] == "waits" and verdicts["Flatten"] == "waits"


def test_other_floats_are_told_what_to_do(tmp_path: Path) -> None:
    net = Net()
    weight = net.constant(net.weights(4, 1, 3, 3), np.float16)
    head(net, net.quant(net.op("Conv", ["x", weight], kernel_shape=[3, 3])), 4)
    rows = api.explain(save(net.model([1, 5]), tmp_path))["nodes"]
    (why,) = (row["why"] for row in rows if row["verdict"] == "refused")
    assert why.endswith(
        "is a tensor(float16), expected tensor(float); export the network in float32"
    )


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

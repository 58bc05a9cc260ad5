# SPDX-License-Identifier: Apache-2.0
"""What stands behind the logits of a foreign network is left to software, and said so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import GoldenExecutor, run
from andpop.hw.graph.heads import heads_of
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import lower
from foreign_graphs import Net, accepted, first, head, plain, refusal, save
from onnx import TensorProto, helper
from PIL import Image
from program import Run
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from test_fully_connected import draw


def classes(proto: onnx.ModelProto, folder: Path) -> np.ndarray:
    graph = lower(clean(load(save(proto, folder)).model))
    (found,) = heads_of(graph.model)
    assert found.kind == "class"
    size = next(iter(GoldenExecutor(graph).shapes.values()))[1:]
    rng = np.random.default_rng(0)
    masks = rng.random((60, *size)) < rng.random((60, 1, 1, 1))
    pictures = (rng.integers(0, 256, (60, *size)) * masks).astype(np.uint8)
    return run(graph.model, pictures)[found.tensor].reshape(-1)


def ending(*behind: Callable[[Net, str], str]) -> onnx.ModelProto:
    """The plain network, with nodes behind its logits."""
    net = Net()
    x = head(net, first(net), 4)
    for add in behind:
        x = add(net, x)
    return net.model([1, 5])


def softmax(net: Net, x: str) -> str:
    return net.op("Softmax", [x], axis=1)


def log_softmax(net: Net, x: str) -> str:
    return net.op("LogSoftmax", [x], axis=-1)


def arg_max(net: Net, x: str) -> str:
    return net.op("ArgMax", [x], axis=1, keepdims=0)


def cast(net: Net, x: str) -> str:
    return net.op("Cast", [x], to=TensorProto.INT32)


def top(net: Net, x: str) -> str:
    number = len(net.nodes)
    outputs = [f"values_{number}", f"indices_{number}"]
    node = helper.make_node("TopK", [x, net.constant([3], np.int64)], outputs, name="TopK")
    net.nodes.append(node)
    net.last = outputs[1]
    return net.last


OUTPUTS = {
    arg_max: (TensorProto.INT64, [1]),
    cast: (TensorProto.INT32, [1]),
    top: (TensorProto.INT64, [1, 3]),
}


@pytest.mark.parametrize(
    "behind",
    [(softmax,), (log_softmax,), (arg_max,), (softmax, arg_max), (arg_max, cast), (softmax, top)],
    ids=lambda nodes: "_".join(node.__name__ for node in nodes),
)
def test_the_class_is_that_of_the_logits(
    behind: tuple[Callable[[Net, str], str], ...], tmp_path: Path
) -> None:
    proto = ending(*behind)
    kind, shape = OUTPUTS.get(behind[-1], (TensorProto.FLOAT, [1, 5]))
    name = proto.graph.output[0].name
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info(name, kind, shape))
    found = classes(proto, tmp_path)
    np.testing.assert_array_equal(found, classes(plain(), tmp_path))
    assert len(set(found.tolist())) > 1
    result = api.explain(save(proto, tmp_path))
    said = [note for note in result["notes"] if "left to software" in note]
    assert result["builds"] and len(said) == len([n for n in behind if n is not cast])


def test_one_sigmoid_decides_by_its_logit(tmp_path: Path) -> None:
    """A sigmoid of 0.5 or more is a logit of 0 or more: not every sigmoid, which is never below."""
    net = Net()
    weight = net.quant(net.constant(net.weights(1, 4, 6, 6)), narrow=1)
    x = net.op("Conv", [first(net), weight], kernel_shape=[6, 6])
    net.op("Sigmoid", [net.op("Flatten", [x], axis=1)])
    found = classes(net.model([1, 1]), tmp_path)
    assert set(found.tolist()) == {0, 1}


def test_several_sigmoids_leave_as_integers(tmp_path: Path) -> None:
    """Labels that hold beside one another: none is picked."""
    proto = ending(lambda net, x: net.op("Sigmoid", [x]))
    loaded, network, values = accepted(proto, tmp_path)
    (found,) = heads_of(lower(network).model)
    assert found.kind == "raw" and values > 100
    assert "a label holds where its logit is 0 or more" in str(
        api.explain(save(proto, tmp_path))["notes"]
    )
    assert loaded.model.graph.output[0].name == proto.graph.output[0].name


def test_logits_and_their_softmax_are_one_output(tmp_path: Path) -> None:
    proto = ending(softmax)
    (node,) = (n for n in proto.graph.node if n.op_type == "Softmax")
    logits = helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, [1, 5])
    proto.graph.output.append(logits)
    _, network, _ = accepted(proto, tmp_path)
    assert [value.name for value in network.graph.output] == [node.input[0]]


def test_another_axis_is_refused(tmp_path: Path) -> None:
    proto = ending(lambda net, x: net.op("Softmax", [x], axis=0))
    assert "looks along axis 0 of (1, 5), expected axis 1" in refusal(proto, tmp_path)


def infer(proto: onnx.ModelProto, folder: Path) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """What ``andpop infer`` tells of some pictures, and what the network itself gives for them."""
    file = save(proto, folder)
    api.build(file, folder / "build", until="pack")
    shape = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]
    images = draw(folder / "pictures", tuple(shape[2:]), 5)
    told = api.infer(folder / "build", images)["predictions"]
    network = ModelWrapper(proto).transform(InferShapes())
    given = []
    for found in told:
        pixels = np.asarray(Image.open(found["picture"]), dtype=np.float32).reshape(shape) / 255
        (values,) = execute_onnx(network, {proto.graph.input[0].name: pixels}).values()
        given.append(values[0])
    return told, given


def batch_norm(net: Net, x: str) -> str:
    """Factors and offsets of each logit, in front of what software does."""
    return net.norm(x, 5)


@pytest.mark.parametrize("behind", [(softmax,), (batch_norm, softmax), (log_softmax,)])
def test_infer_tells_probabilities(
    behind: tuple[Callable[[Net, str], str], ...], tmp_path: Path
) -> None:
    told, given = infer(ending(*behind), tmp_path)
    assert len(told) == 5
    for found, values in zip(told, given, strict=True):
        expected = np.exp(values) if behind[-1] is log_softmax else values
        assert found["probabilities"] == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-7)
        assert found["index"] == int(np.argmax(found["probabilities"]))


def test_infer_tells_the_probability_of_one_logit(tmp_path: Path) -> None:
    net = Net()
    weight = net.quant(net.constant(net.weights(1, 4, 6, 6)), narrow=1)
    bias = net.constant([0.3])
    x = net.op("Conv", [first(net), weight, bias], kernel_shape=[6, 6])
    net.op("Sigmoid", [net.op("Flatten", [x], axis=1)])
    told, given = infer(net.model([1, 1]), tmp_path)
    for found, (share,) in zip(told, given, strict=True):
        assert found["probabilities"] == pytest.approx([1 - share, share], rel=1e-4)
        assert found["index"] == int(share >= 0.5)


def test_infer_tells_the_best_classes(tmp_path: Path, run: Run) -> None:
    proto = ending(softmax, top)
    name = proto.graph.output[0].name
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.INT64, [1, 3]))
    told, given = infer(proto, tmp_path)
    for found, labels in zip(told, given, strict=True):
        assert [row["index"] for row in found["best"]] == labels.tolist()
        assert len(found["probabilities"]) == 5
    code, out, _ = run("infer", tmp_path / "build", "--images", tmp_path / "pictures")
    line = next(x for x in out.splitlines() if "0.png" in x)
    assert code == 0 and len(line.split()) == 7, out


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("ArgMax", {"select_last_index": 1, "axis": 1}), ("TopK", {"largest": 0})],
)
def test_other_picks_than_the_first_largest_are_refused(
    op: str, attributes: dict[str, int], tmp_path: Path
) -> None:
    def pick(net: Net, x: str) -> str:
        inputs = [x, net.constant([3], np.int64)] if op == "TopK" else [x]
        outputs = ["picked"] if op == "ArgMax" else ["values", "picked"]
        net.nodes.append(helper.make_node(op, inputs, outputs, name=op, **attributes))
        net.last = "picked"
        return net.last

    proto = ending(pick)
    shape = [1, 1] if op == "ArgMax" else [1, 3]
    proto.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("picked", TensorProto.INT64, shape)
    )
    assert "expected the first largest" in refusal(proto, tmp_path)

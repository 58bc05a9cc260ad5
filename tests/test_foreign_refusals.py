# SPDX-License-Identifier: Apache-2.0
"""Networks in the words of other people's exporters: what is refused, why, and how soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows.errors import explain
from andpop.hw.graph import clean_state as cleaning
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import MAX_HARDWARE_NODES
from foreign_graphs import Net, first, head, plain, refusal
from onnx import TensorProto, helper


def attribute(number: int, **values: Any) -> Callable[[onnx.ModelProto], None]:
    def change(proto: onnx.ModelProto) -> None:
        node = proto.graph.node[number]
        kept = [a for a in node.attribute if a.name not in values]
        del node.attribute[:]
        node.attribute.extend([*kept, *(helper.make_attribute(k, v) for k, v in values.items())])

    return change


def opset(version: int) -> Callable[[onnx.ModelProto], None]:
    def change(proto: onnx.ModelProto) -> None:
        proto.opset_import[0].version = version

    return change


def declared(datatype: str) -> Callable[[onnx.ModelProto], None]:
    def change(proto: onnx.ModelProto) -> None:
        annotation = proto.graph.quantization_annotation.add(tensor_name="x")
        annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype)

    return change


def cast_to_nothing(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Cast", ["t6"], ["y"], name="Cast_7", to=0))
    proto.graph.output[0].name = "y"


def wide(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (opset(99), "found the ONNX opsets [99], expected one of 7 to"),
        (opset(6), "found the ONNX opsets [6], expected one of 7 to"),
        (declared("FIXED<16,6>"), "the graph input x is declared FIXED<16,6>, expected a type of"),
        (wide, "the graph input x has the element type 11 and shape [1, 1, 8, 8], expected"),
        (attribute(1, strides=[0, 1]), "Conv_1 (Conv): found strides 0, expected 1..65536"),
        (attribute(1, pads=[1 << 62] * 4), "Conv_1 (Conv): found pads 4611686018427387904"),
        (attribute(1, dilations=[1, 1, 1]), "found 3 numbers in dilations, expected 2"),
        (attribute(1, kernel_shape=[2, 2]), "found kernel_shape [2, 2] and weights of shape"),
        (attribute(2, epsilon=float("nan")), "found epsilon that is no number"),
        (cast_to_nothing, "Cast_7 (Cast): found to 0, expected 1..13"),
        (attribute(0, bits=4), "found bits 4, expected no such attribute"),
    ],
)
def test_refuses_in_one_line(
    change: Callable[[onnx.ModelProto], None], reason: str, tmp_path: Path
) -> None:
    proto = plain()
    change(proto)
    assert reason in refusal(proto, tmp_path)


def test_matmul_on_a_map_is_refused(tmp_path: Path) -> None:
    net = Net(8, 6)
    net.op("MatMul", [first(net), net.quant(net.constant(net.weights(4, 3)))])
    text = refusal(net.model([1, 4, 6, 3]), tmp_path)
    assert "MatMul_5 (MatMul): multiplies the last axis of a tensor of shape (1, 4, 6, 4)" in text


@pytest.mark.parametrize(
    ("extra", "size", "told"),
    [
        ({"output_shape": [13, 13]}, 13, "output_shape [13, 13], expected pads and output_padding"),
        ({"strides": [1100, 1100]}, 5502, "its 1210000 phases take 19360000 weights, expected"),
    ],
)
def test_transposed_convolution_of_another_form_is_refused(
    extra: dict[str, list[int]], size: int, told: str, tmp_path: Path
) -> None:
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 4, 2, 2)), narrow=1)
    said = {"kernel_shape": [2, 2], "strides": [2, 2], **extra}
    net.op("ConvTranspose", [first(net), weight], **said)
    assert told in refusal(net.model([1, 4, size, size]), tmp_path)


@pytest.mark.parametrize("place", ["op_type", "name", "attribute"])
def test_text_that_is_not_utf8_is_refused(place: str, tmp_path: Path) -> None:
    proto = plain()
    proto.graph.node[1].name = "Comv_1"
    attribute(0, rounding_mode="ROUNC")(proto)
    data = proto.SerializeToString()
    word = {"op_type": b"Conv", "name": b"Comv", "attribute": b"ROUNC"}[place]
    path = tmp_path / "net.onnx"
    path.write_bytes(data.replace(word, b"\xaf" + word[1:]))
    with pytest.raises(ValueError, match="expected UTF-8") as caught:
        load(path)
    assert explain(caught.value) is not None


# Size and time.


def constant_of_shape(net: Net) -> str:
    return net.op("ConstantOfShape", [net.constant([1 << 14, 1 << 14], np.int64)])


def expand(net: Net) -> str:
    shape = net.constant([1 << 14, 1 << 14], np.int64)
    return net.op("Expand", [net.constant([1.0]), shape])


def expand_of_a_computed_shape(net: Net) -> str:
    size = net.op("Mul", [net.constant([1 << 14], np.int64), net.constant([1 << 13], np.int64)])
    return net.op("Expand", [net.constant([1.0]), size])


def tile(net: Net) -> str:
    repeats = net.constant([1 << 13, 1 << 14], np.int64)
    return net.op("Tile", [net.constant([[1.0, 2.0]]), repeats])


def a_range(net: Net) -> str:
    ends = (net.constant(v, np.float32) for v in (0, 3e8, 1))
    return net.op("Range", list(ends))


def pad(net: Net) -> str:
    return net.op("Pad", [net.constant([[1.0]]), net.constant([0, 0, 16000, 16000], np.int64)])


def gather(net: Net) -> str:
    rows = net.constant(np.zeros(1 << 13), np.int64)
    return net.op("Gather", [net.constant(np.zeros((1, 1 << 14))), rows])


def outer(net: Net) -> str:
    column = net.constant(np.ones((1 << 13, 1)))
    return net.op("Mul", [column, net.constant(np.ones((1, 1 << 14)))])


def doubled(net: Net) -> str:
    x = net.constant(np.ones(16))
    for _ in range(26):
        x = net.op("Concat", [x, x], axis=0)
    return x


def many(net: Net) -> str:
    x = net.constant([0.0])
    for _ in range(40):
        large = net.op("Expand", [net.constant([1.0]), net.constant([1 << 21], np.int64)])
        x = net.op("Add", [x, net.op("ReduceMax", [large], keepdims=1)])
    return x


def product(net: Net) -> str:
    """Work that no size tells: products of constants are not folded."""
    shapes = ([6, 1 << 18], [1 << 18, 6])
    parts = [
        net.op("Expand", [net.constant([1.0]), net.constant(shape, np.int64)]) for shape in shapes
    ]
    return net.op("MatMul", parts)


def einsum(net: Net) -> str:
    row = net.op("Expand", [net.constant([1.0]), net.constant([1 << 20], np.int64)])
    return net.op("Einsum", [row, row], equation="i,j->i")


def resize(net: Net) -> str:
    map_ = net.constant(np.ones((1, 1, 8, 8)))
    empty = net.constant(np.zeros(0))
    return net.op("Resize", [map_, empty, net.constant([1, 1, 4096, 4096])])


def one_hot(net: Net) -> str:
    rows, depth = net.constant(np.zeros(1 << 10), np.int64), net.constant(1 << 20, np.int64)
    return net.op("OneHot", [rows, depth, net.constant([0.0, 1.0])])


def transposed_convolution(net: Net) -> str:
    map_ = net.constant(np.ones((1, 1, 8, 8)))
    return net.op(
        "ConvTranspose", [map_, net.constant(np.ones((1, 1, 2, 2)))], strides=[4096, 4096]
    )


def zeros(net: Net) -> str:
    shape = net.constant([1 << 20, 1 << 20], np.int64)
    return net.op("ConstantOfShape", [shape])


def wide_border(net: Net) -> str:
    return net.op("Pad", ["x", net.constant([0, 0, 60000, 60000] * 2, np.int64)])


@pytest.mark.parametrize(
    "make",
    [constant_of_shape, expand, expand_of_a_computed_shape, tile, a_range, pad, gather, outer,
     doubled, many, product, einsum, resize, one_hot, transposed_convolution, zeros, wide_border],
)  # fmt: skip
def test_small_files_that_unfold_are_refused_at_once(
    make: Callable[[Net], str], tmp_path: Path
) -> None:
    net = Net()
    net.op("Add", [first(net), make(net)] if make is not wide_border else [make(net), "x"])
    proto = net.model([1, 4, 6, 6])
    began = time.process_time()
    text = refusal(proto, tmp_path)
    assert time.process_time() - began < 1.0
    reasons = ("unfold to more", "would have the shape", "cannot be lowered", "is a constant")
    assert any(reason in text for reason in reasons), text


def test_work_and_values_of_one_picture_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cleaning, "TOTAL_WORK", 2500)
        text = refusal(plain(), tmp_path)
        assert "Conv_5 (Conv): up to here one picture takes" in text
    monkeypatch.setattr(cleaning, "TOTAL_ELEMENTS", 200)
    assert "Conv_1 (Conv): up to here one picture takes" in refusal(plain(), tmp_path)


def test_patterns_end(tmp_path: Path) -> None:
    """Sums of a tensor with itself, and chains of a thousand nodes."""
    for op in ("Add", "Neg"):
        net = Net()
        x = first(net)
        for _ in range(1000):
            x = net.op(op, [x, x] if op == "Add" else [x])
        net.quant(net.op("Add", [x, net.constant(0.5)]), 1.0, 8)
        attributes = net.nodes[-1].attribute
        next(a for a in attributes if a.name == "rounding_mode").s = b"FLOOR"
        began = time.process_time()
        refusal(net.model([1, 4, 6, 6]), tmp_path)
        assert time.process_time() - began < 10


def test_a_network_of_thousands_of_layers_is_refused(tmp_path: Path) -> None:
    net = Net()
    x = first(net)
    for _ in range(MAX_HARDWARE_NODES):
        x = net.quant(x, signed=0)
    head(net, x, 4)
    began = time.process_time()
    text = refusal(net.model([1, 5]), tmp_path)
    assert f"more than {MAX_HARDWARE_NODES} nodes of hardware" in text
    assert time.process_time() - began < 20

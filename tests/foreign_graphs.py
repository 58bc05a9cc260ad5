# SPDX-License-Identifier: Apache-2.0
"""Small networks in the words of other people's exporters, and mutants of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from andpop.flows.errors import explain
from andpop.hw.graph.clean import clean
from andpop.hw.graph.loader import LoadedModel, load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.verify import verify
from onnx import AttributeProto, TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"


class Net:
    """A network that grows node by node; every method returns the tensor it adds."""

    def __init__(self, height: int = 8, width: int = 8, channels: int = 1, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self.shape = [1, channels, height, width]
        self.last = "x"

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def op(self, kind: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        number = len(self.nodes)
        self.last = f"t{number}"
        self.nodes.append(
            helper.make_node(
                kind, inputs, [self.last], name=f"{kind}_{number}", domain=domain, **attributes
            )
        )
        return self.last

    def quant(
        self, x: str, scale: float = 0.125, bits: int = 4, signed: int = 1, narrow: int = 0
    ) -> str:
        inputs = [x, self.constant(scale), self.constant(0.0), self.constant(bits)]
        return self.op("Quant", inputs, QONNX, signed=signed, narrow=narrow, rounding_mode="ROUND")

    def qdq(
        self, x: str, scale: Any = 0.125, ends: tuple[int, int] = (0, 15), axis: int = 1
    ) -> str:
        """QuantizeLinear -> Clip -> DequantizeLinear, signed where the lower end says so."""
        dtype = np.int8 if ends[0] < 0 else np.uint8
        parameters = [self.constant(scale), self.constant(np.zeros(np.shape(scale)), dtype)]
        codes = self.op("QuantizeLinear", [x, *parameters], axis=axis)
        limits = [self.constant(end, dtype) for end in ends]
        return self.op(
            "DequantizeLinear", [self.op("Clip", [codes, *limits]), *parameters], axis=axis
        )

    def weights(self, *shape: int) -> npt.NDArray[np.float32]:
        return (0.4 * self.rng.standard_normal(shape)).astype(np.float32)

    def norm(self, x: str, channels: int) -> str:
        rows = [
            self.rng.uniform(0.5, 1.5, channels),
            self.rng.uniform(0.0, 1.0, channels),
            self.rng.uniform(-0.5, 0.5, channels),
            self.rng.uniform(0.5, 1.5, channels),
        ]
        return self.op("BatchNormalization", [x, *(self.constant(row) for row in rows)])

    def model(
        self, output: list[int], opset: int = 13, output_name: str | None = None
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output_name or self.last, TensorProto.FLOAT, output)],
            initializer=self.constants,
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def head(net: Net, x: str, channels: int, side: int = 6) -> str:
    """A convolution over the whole map: five logits."""
    weight = net.quant(net.constant(net.weights(5, channels, side, side)), narrow=1)
    return net.op("Flatten", [net.op("Conv", [x, weight], kernel_shape=[side, side])], axis=1)


def first(net: Net, quant: Callable[..., str] | None = None) -> str:
    """3x3 convolution, normalisation, 4-bit unsigned codes: 4 channels of 6x6."""
    weight = net.quant(net.constant(net.weights(4, net.shape[1], 3, 3)), narrow=1)
    normal = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
    return net.quant(normal, signed=0) if quant is None else quant(normal)


def plain() -> onnx.ModelProto:
    net = Net()
    head(net, first(net), 4)
    return net.model([1, 5])


def qcdq() -> onnx.ModelProto:
    net = Net()
    weight = net.qdq(net.constant(net.weights(4, 1, 3, 3)), np.full(4, 0.125), (-7, 7), 0)
    x = net.qdq(net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4))
    weight = net.qdq(net.constant(net.weights(5, 4, 6, 6)), ends=(-7, 7))
    net.op("Flatten", [net.op("Conv", [x, weight], kernel_shape=[6, 6])], axis=1)
    return net.model([1, 5])


def pooled() -> onnx.ModelProto:
    """Pad, pool and crop; a linear layer with transposed weights at the end."""
    net = Net()
    x = net.op("Pad", [first(net), net.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)])
    x = net.op("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    ends = [net.constant(v, np.int64) for v in ([1, 1], [3, (1 << 63) - 1], [2, 3])]
    x = net.op("Slice", [x, *ends])
    weight = net.quant(net.constant(net.weights(6, 4, 2, 3)), narrow=1)
    x = net.norm(net.op("Conv", [x, weight], kernel_shape=[2, 3]), 6)
    x = net.op("Flatten", [net.quant(x, signed=0)])
    weight = net.op("Transpose", [net.quant(net.constant(net.weights(5, 6)))], perm=[1, 0])
    net.op("MatMul", [x, weight])
    return net.model([1, 5])


def summed() -> onnx.ModelProto:
    net = Net()
    total = net.op("ReduceSum", [first(net), net.constant([2, 3], np.int64)], keepdims=1)
    weight = net.quant(net.constant(net.weights(4, 5)), narrow=1)
    net.op("Gemm", [net.op("Flatten", [total]), weight])
    return net.model([1, 5])


def shaped() -> onnx.ModelProto:
    """Constants that are computed: shapes, ranges, expansions."""
    net = Net()
    x = first(net)
    size = net.op("Gather", [net.op("Shape", [x]), net.constant([1], np.int64)], axis=0)
    shape = net.op(
        "Concat", [net.constant([5], np.int64), size, net.constant([6, 6], np.int64)], axis=0
    )
    weight = net.op("Expand", [net.constant(net.weights(5, 1, 6, 6)), shape])
    logits = net.op("Conv", [x, net.quant(weight, narrow=1)], kernel_shape=[6, 6])
    net.op("Reshape", [logits, net.constant([-1, 5], np.int64)])
    return net.model([1, 5])


def upsampled() -> onnx.ModelProto:
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 6, 2, 2)), narrow=1)
    x = net.op("ConvTranspose", [first(net), weight], kernel_shape=[2, 2], strides=[2, 2])
    x = net.quant(net.norm(x, 6), signed=0)
    weight = net.quant(net.constant(net.weights(3, 6, 1, 1)), narrow=1)
    net.op("Conv", [x, weight], kernel_shape=[1, 1])
    return net.model([1, 3, 12, 12])


def joined() -> onnx.ModelProto:
    net = Net()
    x = first(net)
    net.nodes.append(helper.make_node("Split", [x], ["left", "right"], name="Split", axis=1))
    head(net, net.op("Concat", ["right", "left"], axis=1), 4)
    return net.model([1, 5])


def flattened() -> onnx.ModelProto:
    """2x - 1 of a map, flattened and quantised; two linear layers."""
    net = Net()
    x = net.op("Mul", [first(net), net.constant(2.0)])
    x = net.op("Sub", [x, net.constant([1.0])])
    x = net.op("Reshape", [x, net.constant([1, -1], np.int64)])
    weight = net.quant(net.constant(net.weights(6, 144)), narrow=1)
    x = net.norm(net.op("Gemm", [net.quant(x), weight], transB=1), 6)
    weight = net.op("Transpose", [net.quant(net.constant(net.weights(5, 6)))], perm=[1, 0])
    net.op("MatMul", [net.quant(x, signed=0), weight])
    return net.model([1, 5])


GRAPHS = (plain, qcdq, pooled, summed, shaped, upsampled, joined, flattened)


# Mutants: one small change to a valid network, at the level of the file.

WHOLE = (0, 1, -1, 2, 3, 7, 255, 1 << 16, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63))
REAL = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-30, 1e30, np.inf, -np.inf, np.nan, 255.0)
TEXT = ("", "x", "t0", "NOTSET", "SAME_UPPER", "VALID", "reflect", "edge", "FLOOR", "STOCHASTIC",
        "../a", "a\nb", "é", "n" * 300)  # fmt: skip
OPS = ("Add", "Sub", "Mul", "Div", "Relu", "Clip", "Neg", "Conv", "ConvTranspose", "MatMul", "Gemm",
       "MaxPool", "AveragePool", "Concat", "Split", "Slice", "Pad", "Gather", "Reshape", "Flatten",
       "Transpose", "ReduceSum", "Cast", "Floor", "Where", "Unsqueeze", "GreaterOrEqual", "Expand",
       "Quant", "BipolarQuant", "IntQuant", "QuantizeLinear", "DequantizeLinear", "Resize", "Tile",
       "BatchNormalization", "Einsum", "OneHot", "NonZero", "Loop", "Identity")  # fmt: skip
TYPES = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT8,
         TensorProto.INT64, TensorProto.UINT8, TensorProto.BOOL, 8, 99)  # fmt: skip


def mutant(proto: onnx.ModelProto, rng: random.Random) -> bytes:
    """Return a file of ``proto`` with one to three changes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(CHANGES)(copy, rng)
    data = bytearray(copy.SerializeToString())
    if rng.random() < 0.1 and data:
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _attribute(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    if not node.attribute:
        node.attribute.append(helper.make_attribute(rng.choice(("axis", "group", "mode")), 1))
    a = rng.choice(node.attribute)
    what = rng.randrange(8)
    if what == 0:
        node.attribute.remove(a)
    elif what == 1:
        node.attribute.add().CopyFrom(a)
    elif what == 2 and a.ints:
        del a.ints[rng.randrange(len(a.ints))]
    elif what == 3 and a.ints:
        a.ints.append(rng.choice(WHOLE))
    elif a.type == AttributeProto.INTS and a.ints:
        a.ints[rng.randrange(len(a.ints))] = rng.choice(WHOLE)
    elif a.type == AttributeProto.INT:
        a.i = rng.choice(WHOLE)
    elif a.type == AttributeProto.STRING:
        a.s = rng.choice(TEXT).encode()
    else:
        a.f = rng.choice(REAL)


def _new_attribute(proto: onnx.ModelProto, rng: random.Random) -> None:
    names = ("strides", "dilations", "pads", "group", "auto_pad", "axis", "keepdims", "transA",
             "transB", "alpha", "ceil_mode", "perm", "kernel_shape", "output_padding", "mode",
             "storage_order", "epsilon", "training_mode", "to", "signed", "bits")  # fmt: skip
    value = rng.choice(
        (
            rng.choice(WHOLE),
            [rng.choice(WHOLE) for _ in range(rng.randrange(1, 5))],
            rng.choice(REAL),
            rng.choice(TEXT),
        )
    )
    rng.choice(proto.graph.node).attribute.append(helper.make_attribute(rng.choice(names), value))


def _dims(proto: onnx.ModelProto, rng: random.Random) -> None:
    value = rng.choice((*proto.graph.input, *proto.graph.output))
    dims = value.type.tensor_type.shape.dim
    what = rng.randrange(5)
    if what == 0 or not dims:
        dims.add().dim_value = rng.choice(WHOLE)
    elif what == 1:
        del dims[rng.randrange(len(dims))]
    elif what == 2:
        rng.choice(dims).dim_param = rng.choice(TEXT)
    elif what == 3:
        value.type.tensor_type.elem_type = rng.choice(TYPES)
    else:
        rng.choice(dims).dim_value = rng.choice((*WHOLE, 5, 9, 32))


def _constant(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(proto.graph.initializer)
    what = rng.randrange(6)
    if what == 0:
        tensor.data_type = rng.choice(TYPES)
        return
    if what == 1:
        if tensor.dims and rng.random() < 0.7:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(WHOLE)
        else:
            tensor.dims.append(rng.choice(WHOLE))
        return
    try:
        value = numpy_helper.to_array(tensor).copy()
    except (TypeError, ValueError, KeyError):  # An earlier change broke it.
        return
    with np.errstate(all="ignore"):
        if what == 2:
            value = value.astype(rng.choice((np.float64, np.int64, np.int8, np.bool_, np.float16)))
        elif what == 3:
            value = value.reshape(rng.choice(([-1], [1, -1], [-1, 1, 1], [*value.shape, 1])))
        elif what == 4:
            value = value.reshape(-1)[: rng.choice((0, 1, 2, 5))]
        elif value.size:
            new = np.asarray(rng.choice(WHOLE if value.dtype.kind in "iu" else REAL))
            places = value.reshape(-1)
            place = slice(None) if rng.random() < 0.3 else rng.randrange(value.size)
            places[place] = new.astype(value.dtype)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))


def _opset(proto: onnx.ModelProto, rng: random.Random) -> None:
    opset = rng.choice(proto.opset_import)
    what = rng.randrange(4)
    if what == 0:
        opset.domain = rng.choice(("", "ai.onnx", "ai.onnx.ml", QONNX))
    elif what == 1:
        proto.ir_version = rng.choice((0, 3, 4, 7, 10, 13, 14, 1 << 31))
    else:
        opset.version = rng.choice((0, 1, 6, 7, 9, 10, 11, 12, 14, 17, 18, 21, 22, 26, 27, 99))


def _names(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    known = [name for n in proto.graph.node for name in (*n.input, *n.output)]
    other = rng.choice((*known, *TEXT))
    what = rng.randrange(6)
    if what == 0:
        node.name = other
    elif what == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = other
    elif what == 2 and node.output:
        node.output[rng.randrange(len(node.output))] = other
    elif what == 3 and len(node.input) > 1:
        i, j = rng.sample(range(len(node.input)), 2)
        node.input[i], node.input[j] = node.input[j], node.input[i]
    elif what == 4:
        rng.choice((*proto.graph.input, *proto.graph.output, *proto.graph.initializer)).name = other
    else:
        rng.choice((node.input, node.output)).append(other)


def _nodes(proto: onnx.ModelProto, rng: random.Random) -> None:
    nodes = proto.graph.node
    node = rng.choice(nodes)
    what = rng.randrange(6)
    if what == 0 and len(nodes) > 1:
        nodes.remove(node)
    elif what == 1:
        nodes.add().CopyFrom(node)
    elif what == 2:
        node.op_type = rng.choice(OPS)
    elif what == 3 and node.input:
        del node.input[rng.randrange(len(node.input))]
    elif what == 4:
        node.domain = rng.choice(("", QONNX, "onnx.brevitas", "ai.onnx", "finn.custom_op.general"))
    else:
        extra = helper.make_node(
            rng.choice(OPS), [node.output[0]] if node.output else [], ["extra"], name="extra"
        )
        nodes.append(extra)
        if rng.random() < 0.5:
            proto.graph.output[0].name = "extra"


def _graph(proto: onnx.ModelProto, rng: random.Random) -> None:
    graph = proto.graph
    known = [name for n in graph.node for name in (*n.input, *n.output)]
    what = rng.randrange(4)
    if what == 0:
        graph.output.add().CopyFrom(rng.choice((*graph.input, *graph.output)))
    elif what == 1:
        value = rng.choice((graph.input, graph.output))
        del value[rng.randrange(len(value))]
        if not graph.output or not graph.input:
            value.add().name = rng.choice(known)
    elif what == 2:
        annotation = graph.quantization_annotation.add(tensor_name=rng.choice(("x", *known)))
        annotation.quant_parameter_tensor_names.add(
            key="finn_datatype",
            value=rng.choice(("UINT8", "INT8", "UINT2", "BIPOLAR", "BINARY", "FLOAT32", "INT99")),
        )
    else:
        graph.output[0].name = rng.choice(known)


CHANGES: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    _attribute, _attribute, _new_attribute, _dims, _constant, _constant, _opset, _names, _nodes,
    _graph,
)  # fmt: skip


def save(proto: onnx.ModelProto, folder: Path) -> Path:
    """Write a network as a file."""
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def accepted(proto: onnx.ModelProto, folder: Path) -> tuple[LoadedModel, onnx.ModelProto, int]:
    """Through the door, prepared, lowered and compared: the number of values compared."""
    loaded = load(save(proto, folder))
    network = clean(loaded.model)
    return loaded, network, verify(network, lower(network), noise=2)


def refusal(proto: onnx.ModelProto, folder: Path) -> str:
    """The one line of a refusal, as the command line prints it with exit code 2."""
    with pytest.raises(ValueError) as caught:
        accepted(proto, folder)
    told = explain(caught.value)
    assert told is not None, repr(caught.value)
    code, text = told
    assert code == 2
    assert "\n" not in str(caught.value)
    assert len(text) < 700
    return text

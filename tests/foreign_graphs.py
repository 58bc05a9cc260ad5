# SPDX-License-Identifier: Apache-2.0
"""Small networks in the words of other people's exporters."""

from __future__ import annotations

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
from andpop.hw.graph.pixels import Pixels
from andpop.hw.graph.verify import verify
from onnx import TensorProto, helper, numpy_helper

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
        self, x: str, scale: Any = 0.125, bits: int = 4, signed: int = 1, narrow: int = 0
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


def sign(net: Net, x: str) -> str:
    """-1 or +1."""
    return net.op("BipolarQuant", [x, net.constant(1.0)], QONNX)


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


def save(proto: onnx.ModelProto, folder: Path) -> Path:
    """Write a network as a file."""
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def accepted(
    proto: onnx.ModelProto, folder: Path, pixels: Pixels | None = None
) -> tuple[LoadedModel, onnx.ModelProto, int]:
    """Through the door, prepared, lowered and compared: the number of values compared."""
    loaded = load(save(proto, folder))
    network = clean(loaded.model)
    if pixels is not None:
        pixels.note(network)
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

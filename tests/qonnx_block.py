# SPDX-License-Identifier: Apache-2.0
"""Small QONNX networks built by hand: one 1-bit block, or piecewise (PA) blocks."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes

QONNX = "qonnx.custom_op.general"


def block(channels: int = 2) -> onnx.ModelProto:
    """RSign -> Pad(-1) -> 3x3 convolution -> epilogue without shortcut, then sum pool and Gemm."""
    rng = np.random.default_rng(0)
    constants = {
        "one": np.float32(1),
        "zero": np.float32(0),
        "half": np.float32(0.5),
        "b14": np.float32(14),
        "b8": np.float32(8),
        "gamma": rng.integers(0, 256, (channels, 1, 1)),
        "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
        "minus": np.float32(-1),
        "w": rng.choice([-1, 1], (4, channels, 3, 3)),
        "m": rng.integers(-500, 500, (4, 1, 1)),
        "b": rng.integers(-5000, 5000, (4, 1, 1)),
        "g": np.float32(2.0**-3),
        "zeta": rng.integers(-300, 300, (4, 1, 1)),
        "slope": rng.integers(0, 127, (4, 1, 1)),
        "s": np.float32(2.0**-6),
        "eta": rng.integers(-300, 300, (4, 1, 1)),
        "r": np.float32(2.0**-4),
        "axes": np.int64([2, 3]),
        "pool": np.float32(2.0**-4),
        "fc": rng.integers(-127, 128, (5, 4)),
        "bias": rng.integers(-1000, 1000, 5),
        "step": np.float32(2.0**-9),
    }
    quant = {"signed": 1, "narrow": 0, "rounding_mode": "FLOOR"}

    def node(op: str, inputs: str, output: str, **attrs: object) -> onnx.NodeProto:
        domain = QONNX if op in ("Quant", "BipolarQuant") else ""
        return helper.make_node(
            op, inputs.split(), [output], name=f"l_{op}_{output}", domain=domain, **attrs
        )

    nodes = [
        node("Sub", "x gamma", "d"),
        node("BipolarQuant", "d one", "sign"),
        node("Pad", "sign pads minus", "padded"),
        node("Conv", "padded w", "acc"),
        node("Mul", "acc m", "y1"),
        node("Add", "y1 b", "y2"),
        node("Mul", "y2 g", "y3"),
        node("Add", "y3 half", "y4"),
        node("Quant", "y4 one zero b14", "t", **quant),
        node("Sub", "t zeta", "u"),
        node("Mul", "u slope", "n1"),
        node("Mul", "n1 s", "n2"),
        node("Floor", "n2", "n"),
        node("GreaterOrEqual", "u zero", "positive"),
        node("Where", "positive u n", "v1"),
        node("Add", "v1 eta", "v2"),
        node("Mul", "v2 r", "v3"),
        node("Add", "v3 half", "v4"),
        node("Quant", "v4 one zero b8", "out", **quant),
        node("ReduceSum", "out axes", "total", keepdims=0),
        node("Mul", "total pool", "p1"),
        node("Add", "p1 half", "p2"),
        node("Quant", "p2 one zero b8", "pooled", **quant),
        node("Gemm", "pooled fc bias", "codes", transB=1),
        node("Mul", "codes step", "logits"),
    ]
    nodes[-2].name = "fc_Gemm"
    integers = {"pads", "axes"}
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 5])],
        initializer=[
            numpy_helper.from_array(
                np.asarray(v, dtype=np.int64 if k in integers else np.float32), k
            )
            for k, v in constants.items()
        ],
    )
    shapes = {"acc": 4, "y1": 4, "y2": 4, "y3": 4, "y4": 4, "t": 4, "u": 4, "out": 4}
    for name, channels in shapes.items():
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 4, 4])
        graph.value_info.append(info)
    declared = graph.quantization_annotation.add(tensor_name="x")
    declared.quant_parameter_tensor_names.add(key="finn_datatype", value="UINT8")
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(QONNX, 1)]
    return helper.make_model(graph, ir_version=10, opset_imports=opsets)


def pa_network(
    seed: int,
    m: int = 4,
    n: int = 5,
    *,
    size: tuple[int, int] = (6, 6),
    kernel: int = 3,
    stride: int = 1,
    merged: bool = False,
    linear: bool = False,
) -> onnx.ModelProto:
    """Two residual blocks of piecewise activations and weights, one of them strided.

    The stem is a rounded convolution; the strided block's shortcut is a 1x1 block of its own,
    without a shortcut. Gammas (signs) are mixed, and thresholds may tie or never be met.

    Args:
        seed: of all constants.
        m: pieces of the weights besides zero.
        n: levels of the activations besides zero.
        size: rows and columns of the picture.
        kernel: odd kernel of the blocks.
        stride: of the second block.
        merged: give two weight pieces the same value, and one the value of the zero piece.
        linear: every code is its own level.
    """
    rng = np.random.default_rng(seed)
    net = _Network()
    channels = 4
    stem = net.node("Conv", ["x", net.constant(rng.integers(-9, 10, (channels, 2, 3, 3)))],
                    name="stem", pads=[1] * 4)  # fmt: skip
    x = net.requantise("stem", stem, 5)

    def conv(name: str, x: str, outputs: int, k: int, s: int) -> tuple[str, int]:
        thresholds = np.sort(rng.integers(-140, 141, (channels, n)), axis=1)
        thresholds[0] = thresholds[0, 0]
        sign = rng.choice([-1, 1], (channels, 1, 1))
        sign[1:3, 0, 0] = 0, -1
        beta = np.sort(rng.integers(0, 200, n + 1))
        beta[0] = 0
        alpha = np.sort(rng.choice(np.arange(1, 128), m // 2, replace=False))
        alpha = np.concatenate([-alpha[::-1], [0], rng.permutation(alpha)])
        if merged:
            alpha[-1], alpha[0] = alpha[-2], 0
        if linear:
            alpha, beta = np.arange(-m // 2, m // 2 + 1), np.arange(n + 1)
        weights = rng.choice(alpha, (outputs, channels, k, k))
        signed = net.node("Mul", [x, net.constant(sign)], name=f"{name}_act")
        wide = net.node("Unsqueeze", [signed, net.constant([2], np.int64)], name=f"{name}_act")
        reached = net.node(
            "GreaterOrEqual", [wide, net.constant(thresholds[:, :, None, None])], name=f"{name}_act"
        )
        bits = net.node("Cast", [reached], name=f"{name}_act", to=TensorProto.FLOAT)
        codes = net.node(
            "ReduceSum", [bits, net.constant([2], np.int64)], name=f"{name}_act", keepdims=0
        )
        index = net.node("Cast", [codes], name=f"{name}_index", to=TensorProto.INT64)
        values = net.node("Gather", [net.constant(beta), index], name=name, axis=0)
        acc = net.node(
            "Conv", [values, net.constant(weights)], name=name, pads=[k // 2] * 4, strides=[s, s]
        )
        largest = channels * k * k * int(np.abs(alpha).max()) * int(beta.max())
        return acc, max(0, largest.bit_length() - 9)

    acc, shift = conv("basic", x, channels, kernel, 1)
    x = net.requantise("basic", acc, shift, x)
    acc, shift = conv("short", x, 6, 1, stride)
    shortcut = net.requantise("short", acc, shift)
    acc, shift = conv("down", x, 6, kernel, stride)
    x = net.requantise("down", acc, shift, shortcut)
    total = net.node("ReduceSum", [x, net.constant([2, 3], np.int64)], name="pool", keepdims=0)
    x = net.requantise("pool", total, 3)
    fc = net.constant(rng.integers(-127, 128, (5, 6)))
    net.node("Gemm", [x, fc, net.constant(rng.integers(-99, 100, 5))], name="fc", transB=1)
    return net.finish((1, 2, *size))


class _Network:
    """Collects nodes and constants; integers throughout, in float32 containers."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, op: str, inputs: list[str], name: str, **attrs: object) -> str:
        domain = QONNX if op == "Quant" else ""
        node = helper.make_node(
            op, inputs, [f"t{len(self.nodes)}"], name=f"{name}_{op}", domain=domain, **attrs
        )
        taken = sum(n.name.startswith(node.name) for n in self.nodes)
        node.name += f"_{taken}" if taken else ""
        self.nodes.append(node)
        return str(node.output[0])

    def requantise(self, name: str, acc: str, shift: int, shortcut: str | None = None) -> str:
        """Rounding shift to 8 bits, with the shortcut on the accumulator's grid."""
        if shortcut is not None:
            if shift:
                shortcut = self.node("Mul", [shortcut, self.constant(2.0**shift)], name)
            acc = self.node("Add", [acc, shortcut], name)
        if shift:
            acc = self.node("Mul", [acc, self.constant(2.0**-shift)], name)
        half = self.node("Add", [acc, self.constant(0.5)], name)
        constants = [self.constant(v) for v in (1, 0, 8)]
        return self.node(
            "Quant", [half, *constants], name, signed=1, narrow=0, rounding_mode="FLOOR"
        )

    def finish(self, shape: tuple[int, ...]) -> onnx.ModelProto:
        """The network with the last node's output as logits, shapes inferred."""
        last = self.nodes[-1].output[0]
        graph = helper.make_graph(
            self.nodes,
            "pa",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
            initializer=self.constants,
        )
        declared = graph.quantization_annotation.add(tensor_name="x")
        declared.quant_parameter_tensor_names.add(key="finn_datatype", value="UINT8")
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(QONNX, 1)]
        proto = helper.make_model(graph, ir_version=10, opset_imports=opsets)
        return ModelWrapper(proto).transform(InferShapes()).model


def by_output(proto: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in proto.graph.node if name in n.output)


def set_constant(proto: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    tensor = next(t for t in proto.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(value, name))

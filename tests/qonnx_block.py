# SPDX-License-Identifier: Apache-2.0
"""A small QONNX network built by hand: one 1-bit block, a sum pool, a classifier."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"


def block() -> onnx.ModelProto:
    """RSign -> Pad(-1) -> 3x3 convolution -> epilogue without shortcut, then sum pool and Gemm."""
    rng = np.random.default_rng(0)
    constants = {
        "one": np.float32(1),
        "zero": np.float32(0),
        "half": np.float32(0.5),
        "b14": np.float32(14),
        "b8": np.float32(8),
        "gamma": rng.integers(0, 256, (2, 1, 1)),
        "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
        "minus": np.float32(-1),
        "w": rng.choice([-1, 1], (4, 2, 3, 3)),
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
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
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


def by_output(proto: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in proto.graph.node if name in n.output)


def set_constant(proto: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    tensor = next(t for t in proto.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(value, name))

# SPDX-License-Identifier: Apache-2.0
"""Ordinary quantised CNNs of other people, made by the dozen: QONNX of 2 or 4 bits, odd scales."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"


@dataclass
class Maker:
    """Appends nodes and constants; every method returns the name of its result."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        domain = QONNX if op in ("Quant", "BipolarQuant") else ""
        self.nodes.append(
            helper.make_node(op, inputs, [name], name=f"{op}_{name}", domain=domain, **attributes)
        )
        return name

    def quant(
        self, x: str, scale: float, bits: int, signed: int, narrow: int = 0, mode: str = "ROUND"
    ) -> str:
        parts = (self.constant(v) for v in (scale, 0.0, bits))
        return self.node("Quant", x, *parts, signed=signed, narrow=narrow, rounding_mode=mode)

    def weights(self, shape: tuple[int, ...], bits: int, odd: bool) -> str:
        fan = int(np.prod(shape[1:]))
        value = self.rng.uniform(-1.7, 1.7, shape) / np.sqrt(fan)
        scale = np.abs(value).max() / (2 ** (bits - 1) - 1) if odd else 2.0 ** -int(3 + bits / 2)
        return self.quant(self.constant(value), float(scale), bits, 1, narrow=1)

    def activation(self, x: str, channels: int, bits: int, odd: bool, negative: bool) -> str:
        gamma = self.rng.uniform(0.5, 1.5, channels)
        if negative:
            gamma *= self.rng.choice([-1, 1], channels)
        rows = (
            gamma,
            self.rng.normal(0, 0.4, channels),
            self.rng.normal(0, 0.2, channels),
            self.rng.uniform(0.2, 0.6, channels),
        )
        y = self.node("BatchNormalization", x, *(self.constant(row) for row in rows), epsilon=1e-5)
        scale = self.rng.uniform(2, 4) / 2**bits if odd else 2.0 ** (2 - bits)
        return self.quant(self.node("Relu", y), float(scale), bits, 0)

    def model(self, size: tuple[int, int, int], output: str, shape: list[int]) -> onnx.ModelProto:
        height, width, channels = size
        float_info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "net",
            [float_info("x", TensorProto.FLOAT, [1, channels, height, width])],
            [float_info(output, TensorProto.FLOAT, shape)],
            initializer=self.constants,
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, ir_version=8, opset_imports=opsets)


def cnn(
    seed: int,
    *,
    bits: int = 4,
    odd: bool = True,
    channels: int = 3,
    depth: int = 2,
    base: int = 8,
    size: int = 16,
    outputs: int = 5,
    input_bits: int | None = 8,
    negative: bool = False,
    bias: bool = False,
    hidden: int = 0,
    masks: bool = False,
) -> onnx.ModelProto:
    """Return a CNN: [input quantiser,] ``depth`` blocks of convolution, BN, ReLU, quantiser and
    max pool, then a head of one row of logits (with ``hidden`` units in front), or ``masks``.

    Args:
        seed: of weights and scales.
        bits: of weights and activations.
        odd: scales that are no powers of two.
        channels: of the picture.
        depth: blocks.
        base: channels of the first block; each of the others has half of it more.
        size: side of the picture.
        outputs: channels of the head.
        input_bits: of the input's quantiser; None for none.
        negative: half of BN's gammas are below 0.
        bias: convolutions have one, of any real numbers.
        hidden: units between the last map and the logits.
        masks: the head is a map of half the picture's size.
    """
    m = Maker(np.random.default_rng(seed))
    x, size_now, width = "x", size, channels
    if input_bits is not None:
        scale = float(m.rng.uniform(0.9, 1.1)) / 2 ** (input_bits - 1) if odd else 2.0**-7
        x = m.quant(x, scale, input_bits, 1)
    for block in range(depth):
        wider = base + base // 2 * block
        w = m.weights((wider, width, 3, 3), bits, odd)
        offset = [m.constant(m.rng.normal(0, 0.3, wider))] if bias else []
        x = m.node("Conv", x, w, *offset, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        x = m.activation(x, wider, bits, odd, negative)
        if not masks or block == 0:
            x = m.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            size_now //= 2
        width = wider
    if masks:
        x = m.node("Conv", x, m.weights((outputs, width, 1, 1), bits, odd), kernel_shape=[1, 1])
        return m.model((size, size, channels), x, [1, outputs, size_now, size_now])
    last = hidden or outputs
    side = [size_now, size_now]
    x = m.node("Conv", x, m.weights((last, width, *side), bits, odd), kernel_shape=side)
    if hidden:
        x = m.node("Flatten", m.activation(x, hidden, bits, odd, negative), axis=1)
        w = m.weights((outputs, hidden), bits, odd)
        return m.model((size, size, channels), m.node("Gemm", x, w, transB=1), [1, outputs])
    return m.model((size, size, channels), m.node("Flatten", x, axis=1), [1, outputs])


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write a network to a file."""
    onnx.save(model, path)
    return path

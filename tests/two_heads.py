# SPDX-License-Identifier: Apache-2.0
"""Small QONNX networks with several outputs."""

from __future__ import annotations

import onnx
from foreign_graphs import Net, first
from onnx import TensorProto, helper


def two_heads(classes: str = "label", codes: str = "codes", side: int = 16) -> onnx.ModelProto:
    """Five logits, and the 4-bit codes of the block they are computed from: a map of 4 channels."""
    net = Net(side, side)
    x = first(net)
    inner = side - 2
    weight = net.quant(net.constant(net.weights(5, 4, inner, inner)), narrow=1)
    conv = net.op("Conv", [x, weight], kernel_shape=[inner, inner])
    net.op("Flatten", [conv], axis=1)
    return _model(net, {net.last: (classes, [1, 5]), x: (codes, [1, 4, inner, inner])})


def three_heads(side: int = 8) -> onnx.ModelProto:
    """A class per pixel, its logits times 1/2 plus 3 (``scaled``), and signs, -1 and +1, of what
    they are computed from."""
    net = Net(side, side, seed=3)
    x = first(net)
    weight = net.quant(net.constant(net.weights(3, 4, 1, 1)), narrow=1)
    logits = net.op("Conv", [x, weight], kernel_shape=[1, 1])
    halved = net.op("Mul", [logits, net.constant(0.5)])
    scaled = net.op("Add", [halved, net.constant(3.0)])
    signs = net.op("Sub", [x, net.constant(0.5)])
    signs = net.op("BipolarQuant", [signs, net.constant(1.0)], "qonnx.custom_op.general")
    shape = [1, 3, side - 2, side - 2]
    ends = {logits: ("mask", shape), scaled: ("scaled", shape)}
    return _model(net, {**ends, signs: ("signs", [1, 4, side - 2, side - 2])})


def _model(net: Net, ends: dict[str, tuple[str, list[int]]]) -> onnx.ModelProto:
    """A network whose tensors ``ends`` leave it under other names."""
    proto = net.model([1])
    names = {tensor: name for tensor, (name, _) in ends.items()}
    for node in proto.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    del proto.graph.output[:]
    proto.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in ends.values()
    )
    return proto

# SPDX-License-Identifier: Apache-2.0
"""Networks that read no pictures: signed vectors, MFCC maps, bits that stand for -1 and +1."""

from __future__ import annotations

import onnx
from foreign_graphs import Net


def declare(proto: onnx.ModelProto, datatype: str) -> onnx.ModelProto:
    """As FINN's examples set the datatype of the input, so that its passes know it."""
    annotation = proto.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype)
    return proto


def dense(net: Net, x: str, inputs: int, outputs: int, bits: int = 3) -> str:
    weight = net.quant(net.constant(net.weights(outputs, inputs)), bits=bits, narrow=1)
    return net.op("MatMul", [x, net.op("Transpose", [weight], perm=[1, 0])])


def layers(net: Net, x: str, widths: tuple[int, ...], bits: int = 3) -> str:
    """Dense layers of 3 bits, each normalised and quantised but for the last."""
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        x = dense(net, x, inputs, outputs, bits)
        if outputs != widths[-1]:
            x = net.quant(net.op("Relu", [net.norm(x, outputs)]), 0.5, bits, signed=0)
    return x


def vector(features: int = 16, first: bool = False, scale: float = 0.0625) -> onnx.ModelProto:
    """A network of a vector; ``first``: an 8-bit quantiser of it, as brevitas puts there."""
    net = Net(seed=4)
    net.shape = [1, features]
    x = net.quant("x", scale, 8, narrow=1) if first else "x"
    layers(net, x, (features, 12, 5), 4)
    return net.model([1, 5])


def spotter(hidden: int = 16) -> onnx.ModelProto:
    """finn-examples' network for keywords: MFCCs of 10x49 through a quantiser of 8 bits, flattened,
    dense layers of 3 bits, 12 classes."""
    net = Net(seed=5)
    net.shape = [1, 1, 10, 49]
    x = net.op("Flatten", [net.quant("x", 0.78, 8)])
    layers(net, x, (490, hidden, hidden, hidden, 12))
    return net.model([1, 12])


def tagged() -> onnx.ModelProto:
    """Five labels of which each holds or not, behind an Identity as tf2onnx writes one."""
    net = Net(seed=8)
    net.shape = [1, 16]
    x = layers(net, net.quant("x", 0.0625, 8), (16, 12, 5), 4)
    x = net.op("Add", [x, net.constant(net.rng.uniform(-1, 1, 5))])
    net.op("Identity", [net.op("Sigmoid", [x])])
    return net.model([1, 5])


def autoencoder(features: int = 24) -> onnx.ModelProto:
    """Dense layers down to 8 numbers and up again, as MLPerf Tiny's for sounds of machines."""
    net = Net(seed=9)
    net.shape = [1, features]
    x = net.quant("x", 0.0625, 8)
    x = layers(net, x, (features, 16, 8, 16, features), 6)
    net.op("Add", [x, net.constant(net.rng.uniform(-1, 1, features))])
    return net.model([1, features])

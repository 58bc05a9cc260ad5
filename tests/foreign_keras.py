# SPDX-License-Identifier: Apache-2.0
"""Networks of hls4ml's users: QKeras through qonnx' converter and tf2onnx, node by node as these
write them. Scales are float64, zero points and widths int64, some quantisers have no domain, biases
lie on a grid of their own, channels lie behind the pixels, a softmax ends it.

Read from qonnx' converters/qkeras and from files that tf2onnx 1.17 made; weights are random.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from foreign_graphs import Net
from onnx import helper


class KerasNet(Net):
    """A network that grows as the converter writes it."""

    def grid(self, x: str, bits: int, integer: int = 0, signed: int = 1, domain: str = "") -> str:
        """quantized_bits(bits, integer, alpha=1), or quantized_relu where it is not signed."""
        scale = self.constant(1.0 / 2 ** (bits - integer - signed), np.float64)
        parameters = [scale, self.constant(0, np.int64), self.constant(bits, np.int64)]
        return self.op("Quant", [x, *parameters], domain, signed=signed, narrow=0,
                       rounding_mode="ROUND")  # fmt: skip

    def weight(self, bits: int, *shape: int) -> str:
        return self.grid(self.constant(self.weights(*shape)), bits, domain="qonnx")

    def relu(self, x: str, bits: int, integer: int = 0) -> str:
        return self.grid(self.op("Relu", [x]), bits, integer, signed=0)

    def dense(self, x: str, inputs: int, outputs: int, bits: int = 6) -> str:
        product = self.op("MatMul", [x, self.weight(bits, inputs, outputs)])
        return self.op("Add", [product, self.weight(bits, outputs)])

    def conv(self, x: str, inputs: int, outputs: int, bits: int = 4, **more: Any) -> str:
        weights = [self.weight(bits, outputs, inputs, 3, 3), self.weight(bits, outputs)]
        return self.op("Conv", [x, *weights], kernel_shape=[3, 3], **more)

    def finish(self, outputs: int) -> onnx.ModelProto:
        self.op("Identity", [self.op("Softmax", [self.last])])
        proto = self.model([1, outputs])
        del proto.opset_import[:]
        proto.opset_import.extend(
            [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
        )
        return proto


def jet_tagger() -> onnx.ModelProto:
    """The tagger of the hls4ml tutorial: 16 numbers, layers of 64, 32 and 32, five classes."""
    net = KerasNet(seed=1)
    net.shape = [1, 16]
    x = "x"
    for inputs, outputs in ((16, 64), (64, 32), (32, 32)):
        x = net.relu(net.dense(x, inputs, outputs), 6)
    net.dense(x, 32, 5)
    return net.finish(5)


def digits(side: int = 12) -> onnx.ModelProto:
    """A convolutional network of one channel: tf2onnx turns the channel to the front by a Reshape,
    and back by a Transpose in front of the flattening."""
    net = KerasNet(seed=2)
    net.shape = [1, side, side, 1]
    x = net.op("Reshape", ["x", net.constant([-1, 1, side, side], np.int64)])
    x = net.relu(net.conv(x, 1, 4), 4, 1)
    x = net.op("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    # An activation inside the layer becomes a quantiser in front of the Relu and one behind it.
    x = net.grid(net.conv(x, 4, 6, pads=[0, 0, 1, 1], strides=[2, 2]), 4, 1, signed=0)
    x = net.relu(x, 4, 1)
    x = net.op("Transpose", [x], perm=[0, 2, 3, 1])
    left = (side - 2) // 4
    x = net.op("Reshape", [x, net.constant([-1, 6 * left * left], np.int64)])
    net.dense(net.relu(net.dense(x, 6 * left * left, 10), 4, 1), 10, 10)
    return net.finish(10)


def street_numbers(side: int = 16) -> onnx.ModelProto:
    """The tutorial's network for SVHN, narrower: convolutions with a bias, normalisations, pools,
    two dense layers of which the normalisation is a Mul and an Add."""
    net = KerasNet(seed=3)
    net.shape = [1, side, side, 3]
    x = net.op("Transpose", ["x"], perm=[0, 3, 1, 2])
    channels = 3
    for outputs in (6, 8):
        x = net.relu(net.norm(net.conv(x, channels, outputs), outputs), 6)
        x = net.op("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
        channels, side = outputs, (side - 2) // 2
    x = net.op("Transpose", [x], perm=[0, 2, 3, 1])
    features = channels * side * side
    x = net.op("Reshape", [x, net.constant([-1, features], np.int64)])
    x = net.op("MatMul", [x, net.weight(4, features, 12)])
    x = net.op("Mul", [x, net.constant(net.rng.uniform(-1.5, 1.5, 12))])
    x = net.relu(net.op("Add", [x, net.constant(net.rng.uniform(-0.5, 0.5, 12))]), 6)
    net.dense(x, 12, 10)
    return net.finish(10)


def residual(side: int = 8) -> onnx.ModelProto:
    """A block of hls4ml's residual network for MLPerf Tiny with its normalisations folded: the sum
    of two products that nothing quantises, wide enough to need 18 bits; the largest of each map."""
    net = KerasNet(seed=6)
    net.shape = [1, side, side, 3]
    x = net.op("Transpose", ["x"], perm=[0, 3, 1, 2])
    x = net.relu(net.conv(x, 3, 6, 7, pads=[1, 1, 1, 1]), 7, 3)
    one = net.conv(x, 6, 6, 7, pads=[1, 1, 1, 1])
    two = net.conv(net.relu(net.conv(x, 6, 6, 7, pads=[1, 1, 1, 1]), 7, 3), 6, 6, 7, pads=[1] * 4)
    x = net.op("GlobalMaxPool", [net.relu(net.op("Add", [one, two]), 7, 4)])
    x = net.op("Squeeze", [x, net.constant([2, 3], np.int64)])
    net.dense(x, 6, 10)
    return net.finish(10)


def unflattened(side: int = 10) -> onnx.ModelProto:
    """A vector that the network itself makes a map of, as a Reshape of Keras does."""
    net = KerasNet(seed=7)
    net.shape = [1, side * side]
    x = net.op("Reshape", ["x", net.constant([-1, 1, side, side], np.int64)])
    x = net.relu(net.conv(x, 1, 4), 4, 1)
    x = net.op("Transpose", [x], perm=[0, 2, 3, 1])
    features = 4 * (side - 2) ** 2
    net.dense(net.op("Reshape", [x, net.constant([-1, features], np.int64)]), features, 5)
    return net.finish(5)

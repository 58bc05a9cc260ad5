# SPDX-License-Identifier: Apache-2.0
"""Quantisers with a scale per channel that depthwise convolutions read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.hw.graph.clean import clean
from andpop.hw.graph.loader import load
from foreign_graphs import QONNX, Net, accepted, refusal, save
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

SCALES = (0.125, 0.11, 0.07, 0.2)


def scaled(net: Net, x: str, scales: Sequence[float], signed: int = 0) -> str:
    """Codes of 4 bits with a scale for each channel."""
    inputs = [x, net.constant(np.reshape(scales, (1, -1, 1, 1))), net.constant(0.0)]
    return net.op("Quant", [*inputs, net.constant(4)], QONNX, signed=signed, narrow=0,
                  rounding_mode="ROUND")  # fmt: skip


def convolved(net: Net, x: str, groups: int, outputs: int, bias: bool = False) -> str:
    weight = net.quant(net.constant(net.weights(outputs, 4 // groups, 3, 3)), narrow=1)
    inputs = [x, weight, *([net.constant(net.weights(outputs))] if bias else [])]
    return net.op("Conv", inputs, kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=groups)


def network(
    scales: Sequence[float] = SCALES,
    groups: int = 4,
    outputs: int = 4,
    bias: bool = False,
    signed: int = 0,
    also: int = 0,
) -> onnx.ModelProto:
    """A quantiser of channels, a convolution in groups that reads it, or also one in other groups;
    five logits."""
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
    x = scaled(net, x, scales, signed)
    both = [convolved(net, x, n, outputs, bias) for n in (groups, also) if n]
    both = [net.quant(net.norm(y, outputs), signed=0) for y in both]
    x = net.op("Add", both) if also else both[0]
    weight = net.quant(net.constant(net.weights(5, outputs, 6, 6)), narrow=1)
    net.op("Flatten", [net.op("Conv", [x, weight], kernel_shape=[6, 6])], axis=1)
    return net.model([1, 5])


@pytest.mark.parametrize(
    "proto",
    [
        network(), network(outputs=8), network(signed=1), network(also=4),
        network((0.125, 0.125, 0.07, 0.07), groups=2, outputs=6),
    ],
)  # fmt: skip
def test_scales_of_channels_wait_behind_the_products(
    proto: onnx.ModelProto, tmp_path: Path
) -> None:
    _, prepared, compared = accepted(proto, tmp_path)
    assert compared > 0
    (divided,) = (n for n in prepared.graph.node if n.op_type == "Div")
    (reader,) = (n for n in prepared.graph.node if divided.output[0] in n.input)
    assert reader.op_type == "Quant"


def shaped(model: onnx.ModelProto) -> ModelWrapper:
    found: ModelWrapper = ModelWrapper(model).transform(InferShapes())
    return found


def test_what_follows_the_products_is_what_the_file_says(tmp_path: Path) -> None:
    """As qonnx executes both. Scales are powers of two, so that float32 holds all of it."""
    proto = network((0.125, 0.5, 0.25, 0.0625), outputs=8)
    prepared = clean(load(save(proto, tmp_path)).model)
    x = np.random.default_rng(1).integers(0, 256, (1, 1, 8, 8)).astype(np.float32) / 256
    theirs, ours = (
        execute_onnx(shaped(model), {"x": x}, return_full_exec_context=True)
        for model in (proto, prepared)
    )
    (depthwise,) = (n.output[0] for n in proto.graph.node if any(
        a.name == "group" and a.i == 4 for a in n.attribute))  # fmt: skip
    assert np.ptp(theirs[depthwise]) > 0
    np.testing.assert_array_equal(ours[depthwise], theirs[depthwise])


@pytest.mark.parametrize(
    "proto", [network(groups=1), network(groups=2, outputs=6), network(bias=True), network(also=1)]
)
def test_other_readers_of_such_scales_are_refused(proto: onnx.ModelProto, tmp_path: Path) -> None:
    text = refusal(proto, tmp_path)
    assert "one per channel that only depthwise convolutions without a bias read" in text

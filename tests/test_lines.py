# SPDX-License-Identifier: Apache-2.0
"""Networks of lines (1, C, L): maps of height 1 from the door on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.files import BuildFiles
from andpop.hw.graph.clean import clean
from andpop.hw.graph.elasticity import expected_waiting
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.qonnx_graph import LoweringError
from andpop.hw.graph.verify import verify
from foreign_graphs import Net
from foreign_lines import export_small_vgg10, export_vgg10
from qonnx.core.modelwrapper import ModelWrapper
from test_fully_connected import check

SAMPLES = {"input_scale": "0.015625", "input_mean": "2"}
"""Bytes that stand for -2..1.98, as 8-bit samples of a radio signal."""


def line(length: int = 12, channels: int = 2) -> Net:
    net = Net()
    net.shape = [1, channels, length]
    return net


def conv(net: Net, x: str, channels: int, outputs: int, kernel: int, **attributes: object) -> str:
    weight = net.quant(net.constant(net.weights(outputs, channels, kernel)), narrow=1)
    return net.op("Conv", [x, weight], kernel_shape=[kernel], **attributes)


def logits(net: Net, x: str, features: int) -> onnx.ModelProto:
    weight = net.quant(net.constant(net.weights(features, 3)), narrow=1)
    net.op("MatMul", [net.op("Flatten", [x]), weight])
    return net.model([1, 3])


def samples(folder: Path, length: int, count: int) -> Path:
    values = np.random.default_rng(1).integers(0, 256, (count, length, 2), dtype=np.uint8)
    values[-2], values[-1] = 0, 255
    np.save(folder / "x.npy", values)
    return folder / "x.npy"


@pytest.mark.sim
def test_a_small_vgg10_is_exact_on_every_backend(tmp_path: Path) -> None:
    file = export_small_vgg10(tmp_path / "net.onnx")
    built = api.build(file, tmp_path / "build", target_cycles=2048, **SAMPLES)
    assert any("1x64x2 (HWC)" in note and "(N, 64, 2)" in note for note in built["notes"])
    check(tmp_path / "build", samples(tmp_path, 64, 5), 5)


def test_vgg10_fits_a_small_board_by_its_requantisers(tmp_path: Path) -> None:
    """Its ten quantisers of 8 bits lie in equal steps; along a line few samples wait."""
    file = export_vgg10(tmp_path / "net.onnx")
    built = api.build(file, tmp_path / "build", target_cycles=65_536, until="fold", **SAMPLES)
    assert built["fit"]["board"] == "pynq-z2" and built["fit"]["fits"]
    graph = ModelWrapper(str(BuildFiles(tmp_path / "build").dataflow))
    ops = Counter(node.op_type for node in graph.graph.node)
    assert ops["Requant_rtl"] == 10 and not ops["Thresholding_rtl"]
    words = expected_waiting(graph)
    assert words
    assert all(count <= 3 * graph.get_tensor_shape(name)[-1] for name, count in words.items())


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
def test_vgg10_is_exact_on_every_backend(tmp_path: Path) -> None:
    file = export_vgg10(tmp_path / "net.onnx")
    built = api.build(file, tmp_path / "build", target_cycles=65_536, **SAMPLES)
    assert built["fit"]["board"] == "pynq-z2" and built["fit"]["fits"]
    check(tmp_path / "build", samples(tmp_path, 1024, 4), 4)


def every_form() -> onnx.ModelProto:
    """Borders, steps, slices, sums of two paths, per-channel constants, a transposed flattening."""
    net = line(20)
    x = net.op("Pad", ["x", net.constant([0, 0, 1, 0, 0, 2], np.int64)])
    x = conv(net, x, 2, 4, 3, strides=[2], dilations=[2], pads=[1, 0])
    x = net.op("Add", [x, net.constant(net.weights(1, 4, 1))])
    x = net.op("Mul", [net.norm(x, 4), net.constant(0.5 + np.abs(net.weights(4, 1)))])
    x = net.quant(x, signed=0)
    x = net.op("Slice", [x, *(net.constant([v], np.int64) for v in (1, 9, 2))])
    left, right = (net.quant(net.norm(conv(net, x, 4, 2, 1), 2), signed=0) for _ in range(2))
    x = net.op("MaxPool", [net.op("Concat", [left, right], axis=-2)], kernel_shape=[2], strides=[2])
    x = net.op("Transpose", [x], perm=[0, 2, 1])
    x = net.op("Reshape", [x, net.constant([0, -1], np.int64)])
    net.op("MatMul", [x, net.quant(net.constant(net.weights(16, 3)), narrow=1)])
    return net.model([1, 3])


def summed() -> onnx.ModelProto:
    net = line()
    x = net.quant(net.norm(conv(net, "x", 2, 4, 3), 4), signed=0)
    x = net.op("ReduceSum", [x, net.constant([2], np.int64)], keepdims=1)
    x = net.op("Squeeze", [x, net.constant([-1], np.int64)])
    net.op("MatMul", [x, net.quant(net.constant(net.weights(4, 3)), narrow=1)])
    return net.model([1, 3])


def averaged() -> onnx.ModelProto:
    """Pairs of QuantizeLinear and DequantizeLinear, weights with a scale per output; averages over
    windows and over the line."""
    net = line(16)
    weight = net.qdq(
        net.constant(net.weights(4, 2, 3)), np.full(4, 0.125) * [1, 2, 1, 4], (-7, 7), 0
    )
    x = net.qdq(net.norm(net.op("Conv", ["x", weight], kernel_shape=[3]), 4))
    x = net.op("AveragePool", [x], kernel_shape=[2], strides=[2])
    x = net.quant(net.norm(conv(net, x, 4, 4, 2), 4), signed=0)
    x = net.op("GlobalAveragePool", [x])
    return logits(net, net.quant(x, scale=0.03, signed=0), 4)


def reshaped() -> onnx.ModelProto:
    """A flattened line becomes one again."""
    net = line()
    x = net.quant(net.norm(conv(net, "x", 2, 4, 3), 4), signed=0)
    x = net.op("Reshape", [x, net.constant([0, 40], np.int64)])
    x = net.op("Reshape", [x, net.constant([0, 4, 10], np.int64)])
    return logits(net, net.quant(net.norm(conv(net, x, 4, 4, 2), 4), signed=0), 36)


@pytest.mark.parametrize("network", [every_form, summed, averaged, reshaped])
def test_lines_are_maps_of_height_1(network: Callable[[], onnx.ModelProto]) -> None:
    proto = clean(network())
    assert verify(proto, lower(proto)) > 0


def permuted() -> onnx.ModelProto:
    net = line()
    x = net.quant(net.norm(conv(net, "x", 2, 4, 3), 4), signed=0)
    x = conv(net, net.op("Transpose", [x], perm=[0, 2, 1]), 10, 4, 3)
    net.op("Flatten", [x])
    return net.model([1, 8])


def unsqueezed() -> onnx.ModelProto:
    net = line()
    x = net.quant(net.norm(conv(net, "x", 2, 4, 3), 4), signed=0)
    x = net.op("Unsqueeze", [x, net.constant([3], np.int64)])
    net.op("Flatten", [x])
    return net.model([1, 40])


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (permuted, "permutes the axes of a line by [0, 2, 1], expected [0, 2, 1] in front of a"),
        (unsqueezed, "reads a line (1, C, L), expected convolutions, pools, sums, "),
    ],
)
def test_other_forms_of_lines_are_refused(network: Callable[[], onnx.ModelProto], why: str) -> None:
    with pytest.raises(LoweringError) as refused:
        clean(network())
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)

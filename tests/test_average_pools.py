# SPDX-License-Identifier: Apache-2.0
"""Average pools: sums whose division goes into what reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.clean import clean
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.qonnx_graph import LoweringError
from andpop.hw.graph.verify import verify
from andpop.hw.kernels.base import node_attributes
from andpop.hw.kernels.ops import find_golden
from foreign_graphs import QONNX, Net, first, sign
from foreign_pools import NETWORKS, SIDE, export_pools
from onnx import save
from qonnx.core.modelwrapper import ModelWrapper
from test_fully_connected import check, draw


@pytest.mark.sim
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_with_average_pools_are_exact_on_every_backend(name: str, tmp_path: Path) -> None:
    file = export_pools(name, tmp_path / "net.onnx")
    api.build(file, tmp_path / "build", target_cycles=4096)
    check(tmp_path / "build", draw(tmp_path / "pictures", (SIDE, SIDE)), 4)


def ending(net: Net, x: str, features: int) -> onnx.ModelProto:
    """A fully connected layer behind a flattening."""
    weight = net.quant(net.constant(net.weights(features, 5)), narrow=1)
    net.op("MatMul", [net.op("Flatten", [x]), weight])
    return net.model([1, 5], opset=19)


def pooled(pixels: int = 9, **attributes: object) -> Callable[[], onnx.ModelProto]:
    """An average pool of 6x6 pixels of 4 channels; then codes of 4 bits."""

    def make() -> onnx.ModelProto:
        net = Net()
        given = {"kernel_shape": [2, 2], "strides": [2, 2], **attributes}
        x = net.op("AveragePool", [first(net)], **given)
        return ending(net, net.quant(x, scale=0.07, signed=0), 4 * pixels)

    return make


def of_signs() -> onnx.ModelProto:
    """Averages of -1 and +1, read by weights of -1 and +1."""
    net = Net()
    x = net.op("AveragePool", [first(net, lambda x: sign(net, x))], kernel_shape=[2, 2])
    weight = sign(net, net.constant(net.weights(3, 4, 2, 2)))
    x = net.quant(net.op("Conv", [x, weight], kernel_shape=[2, 2]), signed=0)
    return ending(net, x, 48)


def many_pixels(bits: int = 8) -> onnx.ModelProto:
    """A sum of more values than a table has rows: 48 x 48 pixels of 8 bits."""
    net = Net(48, 48)
    x = net.op("GlobalAveragePool", [net.quant("x", scale=1 / 255, bits=bits, signed=0)])
    return ending(net, net.quant(x, scale=0.01, bits=6, signed=0), 1)


def many_pixels_turned(factors: tuple[float, float] = (-4.1, 3.9)) -> onnx.ModelProto:
    """As many_pixels, of two channels and with an offset: the first falls."""
    net = Net(48, 48, 2)
    x = net.op("GlobalAveragePool", [net.quant("x", scale=1 / 255, bits=8, signed=0)])
    x = net.op("Mul", [x, net.constant(np.array(factors).reshape(1, 2, 1, 1))])
    x = net.quant(net.op("Add", [x, net.constant(1.7)]), bits=5)
    return ending(net, x, 2)


def turned(net: Net, x: str, channels: int) -> str:
    """A normalisation, half of its factors negative."""
    gamma = net.rng.normal(0, 1, channels)
    rows = [net.constant(row) for row in (gamma, net.rng.normal(0, 0.3, channels))]
    rows += [net.constant(net.rng.uniform(0.1, 0.5, channels)) for _ in range(2)]
    return net.op("BatchNormalization", [x, *rows])


def turned_behind(kind: str, bits: int) -> Callable[[], onnx.ModelProto]:
    """A pool of accumulators, then a normalisation that turns half of the channels around."""

    def make() -> onnx.ModelProto:
        net = Net()
        weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
        x = net.op("Conv", ["x", weight], kernel_shape=[3, 3])
        if kind == "GlobalAveragePool":
            x = net.op(kind, [x])
        else:
            x = net.op(kind, [x], kernel_shape=[2, 2], strides=[2, 2])
        x = turned(net, x, 4)
        if bits == 1:
            x = sign(net, x)
            weight = sign(net, net.constant(net.weights(36, 5)))
            net.op("MatMul", [net.op("Flatten", [x]), weight])
            return net.model([1, 5])
        return ending(net, net.quant(x, bits=bits), 36 if kind != "GlobalAveragePool" else 4)

    return make


def mean_of_axes() -> onnx.ModelProto:
    net = Net()
    x = net.op("ReduceMean", [first(net), net.constant([2, -1], np.int64)], keepdims=0)
    weight = net.quant(net.constant(net.weights(4, 5)), narrow=1)
    net.op("MatMul", [net.quant(x, signed=0, scale=0.05), weight])
    return net.model([1, 5], opset=18)


def truncation(
    mode: str, newer: bool, kernel: int = 2, zero: float = 0.0
) -> Callable[[], onnx.ModelProto]:
    """A sum as QuantAvgPool2d wrote it: the average times the pixels, of which bits are dropped."""

    def make() -> onnx.ModelProto:
        net = Net()
        x = net.op("AveragePool", [first(net)], kernel_shape=[kernel] * 2, strides=[2, 2])
        x = net.op("Mul", [x, net.constant(float(kernel**2))])
        numbers = [0.125, zero, 6.0, 0.5, 3.0] if newer else [0.125, zero, 6.0, 4.0]
        attributes = {"signed": 0, "narrow": 0} if newer else {}
        x = net.op(
            "Trunc", [x, *(net.constant(v) for v in numbers)], QONNX, rounding_mode=mode,
            **attributes,
        )  # fmt: skip
        return ending(net, x, 4 * ((6 - kernel) // 2 + 1) ** 2)

    return make


TURNED = (("MaxPool", 1), ("AveragePool", 4), ("AveragePool", 1), ("GlobalAveragePool", 6))


def truncated_product() -> onnx.ModelProto:
    """Bits dropped of a product's sums, of signed and of whole steps."""
    net = Net()
    weight = net.quant(net.constant(net.weights(3, 4, 3, 3)), narrow=1)
    x = net.op("Conv", [first(net), weight], kernel_shape=[3, 3])
    numbers = (net.constant(v) for v in (1 / 64, 0.0, 12.0, 0.25, 6.0))
    x = net.op("Trunc", [x, *numbers], QONNX, rounding_mode="FLOOR", signed=1, narrow=0)
    return ending(net, x, 48)


MODES = ("FLOOR", "ROUND", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


@pytest.mark.parametrize(
    "network",
    [
        pooled(), pooled(ceil_mode=1), pooled(auto_pad="VALID"), pooled(auto_pad="SAME_UPPER"),
        pooled(16, pads=[1, 1, 1, 1], count_include_pad=1), of_signs, many_pixels, mean_of_axes,
        many_pixels_turned, truncated_product, pooled(pads=[0, 0, 1, 1]),
        *(turned_behind(*case) for case in TURNED),
        pooled(kernel_shape=[3, 2], pads=[0, 0, 1, 0], count_include_pad=1),
        *(truncation(mode, newer, size) for mode in MODES for newer in (False, True)
          for size in (2, 3)),
        *(truncation(mode, newer, 2, 4.0) for mode in MODES for newer in (False, True)),
        truncation("FLOOR", False, 2, 3.0), truncation("ROUND", False, 2, -5.0),
    ],
)  # fmt: skip
def test_averages_are_sums_of_another_step(network: Callable[[], onnx.ModelProto]) -> None:
    proto = clean(network())
    assert verify(proto, lower(proto)) > 0


def test_a_zero_point_between_the_steps_that_are_left_is_refused() -> None:
    with pytest.raises(LoweringError, match="expected single scales above 0 and one zero point, a"):
        clean(truncation("FLOOR", True, 2, 2.0)())


@pytest.mark.parametrize("factors", [(4.1, 3.9), (-4.1, 3.9), (-4.1, -3.9)])
def test_searched_thresholds_are_those_of_the_definition(factors: tuple[float, float]) -> None:
    """At the numbers on both sides of every threshold of a sum of 48 x 48 bytes."""
    graph = lower(clean(many_pixels_turned(factors)))
    (node,) = (n for n in graph.graph.node if n.input[0] == sums_of(graph))
    constants = [graph.get_initializer(name).astype(np.int64) for name in node.input[1:]]
    most = 255 * 48 * 48
    assert 0 <= constants[0].min() <= constants[0].max() <= most + 1
    sums = np.unique(np.concatenate([constants[0].reshape(-1) + d for d in (-1, 0, 1)]))
    sums = sums[(sums >= 0) & (sums <= most)]
    golden = find_golden(node.op_type)
    assert golden is not None
    x = np.repeat(sums.reshape(-1, 1, 1, 1), 2, axis=3)
    (found,) = golden([x, *constants], node_attributes(node))
    step, *rows = (np.float32(v).astype(np.float64) for v in (1 / 255, factors, 1.7))
    given = x * step / 2304 * rows[0] + rows[1]
    np.testing.assert_array_equal(found, np.rint(np.clip(given / 0.125, -16, 15)))


def sums_of(graph: ModelWrapper) -> str:
    """The tensor of the sums of a map."""
    (name,) = (n.output[0] for n in graph.graph.node if n.op_type == "GlobalAccPool")
    return str(name)


@pytest.mark.parametrize("case", TURNED)
def test_pools_of_accumulators_are_exact_on_the_cpu(case: tuple[str, int], tmp_path: Path) -> None:
    save(turned_behind(*case)(), tmp_path / "net.onnx")
    api.build(tmp_path / "net.onnx", tmp_path / "build", until="pack")
    pictures = draw(tmp_path / "pictures", (8, 8), 8)
    assert api.compare(tmp_path / "build", pictures, ("qonnx", "cpu"))["values_differing"] == 0


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (pooled(16, pads=[1, 1, 1, 1]), "expected one divisor for all: count_include_pad 1"),
        (pooled(4, strides=[4, 4], ceil_mode=1, kernel_shape=[3, 3]),
         "its ceil_mode adds windows beyond the map"),
        (pooled(4, dilations=[2, 2]), "found auto_pad or dilation, expected a plain average pool"),
    ],
)  # fmt: skip
def test_averages_of_several_divisors_are_refused(
    network: Callable[[], onnx.ModelProto], why: str
) -> None:
    with pytest.raises(LoweringError) as refused:
        lower(clean(network()))
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)

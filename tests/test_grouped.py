# SPDX-License-Identifier: Apache-2.0
"""Depthwise and other grouped convolutions of foreign networks, on every backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.cpu.engine import instruction_sets
from andpop.hw.graph.lower.grouped import dense
from andpop.hw.kernels.ops import op_of
from definitions import evaluate
from foreign_graphs import Net, first, head, sign
from foreign_networks import export_grouped_cnn, export_mobile_cnn
from onnx import save
from test_fully_connected import check, draw


def ops_of(build: Path) -> Counter[str]:
    """How many nodes of each op the graph of a build has."""
    nodes = onnx.load(build / "lowered.onnx").graph.node
    return Counter(node.op_type.removesuffix("_rtl") for node in nodes)


@pytest.mark.sim
def test_separable_blocks_are_exact_on_every_backend(tmp_path: Path) -> None:
    file = export_mobile_cnn(tmp_path / "net.onnx")
    built = api.build(file, tmp_path / "build", target_cycles=2304)
    assert not any("every edge" in note for note in built["notes"])
    check(tmp_path / "build", draw(tmp_path / "pictures", (16, 16, 3)), 4)
    assert ops_of(tmp_path / "build")["GroupedMvu"] == 3


@pytest.mark.sim
def test_grouped_convolutions_are_exact_on_every_backend(tmp_path: Path) -> None:
    """Small groups go to one unit; of two wide ones each has a window and a unit of its own."""
    file = export_grouped_cnn(tmp_path / "net.onnx")
    api.build(file, tmp_path / "build", target_cycles=6400)
    check(tmp_path / "build", draw(tmp_path / "pictures", (16, 16, 3)), 4)
    found = ops_of(tmp_path / "build")
    assert found["GroupedMvu"] == 3 and found["StreamingSplit"] == found["StreamingConcat"] == 1


def coded(net: Net, x: str, groups: int, inputs: int, outputs: int, **attributes: Any) -> str:
    """A grouped convolution with weights of 4 bits: raw sums."""
    kernel = attributes.setdefault("kernel_shape", [3, 3])
    weight = net.quant(net.constant(net.weights(outputs, inputs, *kernel)), narrow=1)
    bias = attributes.pop("bias", None)
    rest = [] if bias is None else [net.constant(bias)]
    return net.op("Conv", [x, weight, *rest], group=groups, **attributes)


def finished(net: Net, x: str, channels: int, side: int) -> onnx.ModelProto:
    head(net, net.quant(net.norm(x, channels), signed=0), channels, side)
    return net.model([1, 5])


def pointwise() -> onnx.ModelProto:
    """A factor per channel, of every second pixel."""
    net = Net()
    x = coded(net, first(net), 4, 1, 4, kernel_shape=[1, 1], strides=[2, 2])
    return finished(net, x, 4, 3)


def oblong() -> onnx.ModelProto:
    """1x3 with a border on one side; three outputs of a channel."""
    net = Net()
    x = coded(net, first(net), 4, 1, 12, kernel_shape=[1, 3], pads=[0, 2, 0, 0])
    return finished(net, x, 12, 6)


def dilated() -> onnx.ModelProto:
    """5x3 of dilation 2 by 1, strides 2 by 1."""
    net = Net()
    x = coded(net, first(net), 4, 1, 4, kernel_shape=[5, 3], dilations=[2, 1], strides=[2, 1],
              pads=[4, 1, 4, 1])  # fmt: skip
    x = net.quant(net.norm(x, 4), signed=0)
    weight = net.quant(net.constant(net.weights(5, 4, 3, 6)), narrow=1)
    net.op("Flatten", [net.op("Conv", [x, weight], kernel_shape=[3, 6])], axis=1)
    return net.model([1, 5])


def biased() -> onnx.ModelProto:
    """Sums with a bias of whole steps that no quantiser follows: a map that is added to."""
    net = Net()
    x = net.quant(first(net), scale=0.125, bits=4, signed=0)
    step = 0.125 * 0.125
    y = coded(net, x, 4, 1, 4, pads=[1, 1, 1, 1], bias=step * np.array([3, -5, 0, 100]))
    return finished(net, y, 4, 6)


def per_output() -> onnx.ModelProto:
    """A scale for every output."""
    net = Net()
    scales = np.array([0.125, 0.25, 0.0625, 0.1]).reshape(4, 1, 1, 1)
    values = net.constant(net.weights(4, 1, 3, 3))
    inputs = [values, net.constant(scales), net.constant(0.0), net.constant(4)]
    weight = net.op("Quant", inputs, "qonnx.custom_op.general",
                    signed=1, narrow=1, rounding_mode="ROUND")  # fmt: skip
    x = net.op("Conv", [first(net), weight], kernel_shape=[3, 3], group=4)
    return finished(net, x, 4, 4)


def wide_weights() -> onnx.ModelProto:
    """Weights of 8 bits on signed codes."""
    net = Net()
    x = net.quant(first(net), scale=0.25, bits=3, signed=1)
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), scale=2.0**-6, bits=8)
    return finished(net, net.op("Conv", [x, weight], kernel_shape=[3, 3], group=4), 4, 4)


def bits(groups: int, channels: int, coded_weights: bool = False) -> Callable[[], onnx.ModelProto]:
    """1-bit activations with a border of -1; weights of one bit or of four."""

    def make() -> onnx.ModelProto:
        net = Net()
        weight = net.quant(net.constant(net.weights(channels, 1, 3, 3)), narrow=1)
        x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), channels)
        x = net.op(
            "Pad", [sign(net, x), net.constant([0, 0, 1, 1] * 2, np.int64), net.constant(-1.0)]
        )
        weight = net.constant(net.weights(channels, channels // groups, 3, 3))
        weight = net.quant(weight, narrow=1) if coded_weights else sign(net, weight)
        x = net.op("Conv", [x, weight], kernel_shape=[3, 3], group=groups)
        return finished(net, x, channels, 6)

    return make


def counted() -> onnx.ModelProto:
    """Signed codes of two bits that weights of one bit alone read: counts from 0."""
    net = Net()
    x = net.quant(first(net), scale=0.5, bits=2, signed=1)
    x = net.op("Conv", [x, sign(net, net.constant(net.weights(4, 1, 3, 3)))],
               kernel_shape=[3, 3], group=4)  # fmt: skip
    return finished(net, x, 4, 4)


NETS: dict[str, tuple[Callable[[], onnx.ModelProto], dict[str, int]]] = {
    "pointwise": (pointwise, {"GroupedMvu": 1}),
    "oblong": (oblong, {"GroupedMvu": 1}),
    "dilated": (dilated, {"GroupedMvu": 1}),
    "biased": (biased, {"GroupedMvu": 1}),
    "per_output": (per_output, {"GroupedMvu": 1}),
    "wide_weights": (wide_weights, {"GroupedMvu": 1}),
    "counted": (counted, {"GroupedMvu": 1}),
    "bits_depthwise": (bits(8, 8), {"GroupedMvu": 1}),
    "bits_by_codes": (bits(8, 8, coded_weights=True), {"GroupedMvu": 1}),
    "bits_small_groups": (bits(4, 16), {"GroupedMvu": 1}),
    "bits_wide_groups": (bits(2, 32), {"XnorMvu": 2}),
}


@pytest.mark.parametrize("name", NETS)
def test_other_forms_are_exact_on_the_cpu(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, expected = NETS[name]
    save(make(), tmp_path / "net.onnx")
    api.build(tmp_path / "net.onnx", tmp_path / "build", until="pack")
    found = ops_of(tmp_path / "build")
    assert {op: found[op] for op in expected} == expected
    images = draw(tmp_path / "pictures", (8, 8), 6)
    for isa in instruction_sets():
        monkeypatch.setenv("ANDPOP_ISA", isa)
        result = api.compare(tmp_path / "build", images, ("qonnx", "cpu"))
        assert result["values_differing"] == 0 and result["values_compared"] > 0


def test_a_dense_matrix_has_the_same_sums() -> None:
    rng = np.random.default_rng(0)
    matrix, x = rng.integers(-8, 8, (9 * 2, 12)), rng.integers(0, 16, (5, 9 * 6))
    attrs = {"Groups": 3, "Taps": 9, "inputSigns": 0, "weightDataType": "INT4"}
    (sums,) = evaluate("GroupedMvu", [x, matrix], attrs)
    assert np.array_equal(x @ dense(matrix.astype(np.float64), 3, 9), sums)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SIMD": 5}, "cannot be split over SIMD=5; use one of 2,4,8,24,72: whole groups of 2"),
        ({"Groups": 5}, "found MW=72 MH=8 with Groups=5 Taps=9, expected MW a multiple of"),
        ({"MH": 6}, "found MW=72 MH=6 with Groups=4 Taps=9"),
    ],
)
def test_what_does_not_divide_is_refused(change: dict[str, int], message: str) -> None:
    attrs = {
        "MW": 72, "MH": 8, "SIMD": 2, "Groups": 4, "Taps": 9, "numInputVectors": [1, 2, 2],
        "inputDataType": "UINT4", "inputSigns": 0, "weightDataType": "INT4",
        "outputDataType": "INT14", **change,
    }  # fmt: skip
    node = onnx.helper.make_node(
        "GroupedMvu_rtl", ["x", "w"], ["y"], name="layer", backend="fpgadataflow",
        domain="finn.custom_op.fpgadataflow.rtl", **attrs,
    )  # fmt: skip
    with pytest.raises(ValueError, match=f"^layer: .*{message}"):
        op_of(node).get_exp_cycles()


def test_folding_takes_whole_groups_or_whole_positions(tmp_path: Path) -> None:
    """Of 12 channels 2, 4, 6, 12 make a word with groups of two, not 3; or 36 with 3 of 9."""
    net = Net()
    weight = net.quant(net.constant(net.weights(12, 1, 3, 3)), narrow=1)
    normal = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 12)
    x = coded(net, net.quant(normal, signed=0), 6, 2, 12)
    save(finished(net, x, 12, 4), tmp_path / "net.onnx")
    api.build(tmp_path / "net.onnx", tmp_path / "build", until="pack")
    graph = onnx.load(tmp_path / "build" / "lowered.onnx").graph
    (node,) = (n for n in graph.node if n.op_type.startswith("GroupedMvu"))
    assert op_of(node).folding_rule().choices("SIMD") == [2, 4, 6, 12, 36, 108]

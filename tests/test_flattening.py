# SPDX-License-Identifier: Apache-2.0
"""Maps that become vectors in front of fully connected layers, and networks that read vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.hw.graph.builder import boundaries
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.pixel_scaling import absorb
from andpop.hw.graph.pixels import Pixels
from andpop.hw.graph.verify import verify
from foreign_graphs import Net, accepted, first, refusal, save, sign

FEATURES = 4 * 6 * 6
"""What ``first`` gives: a map of 4 channels, 6x6."""


def dense(net: Net, x: str, inputs: int, outputs: int) -> str:
    weight = net.quant(net.constant(net.weights(outputs, inputs)), narrow=1)
    return net.op("Gemm", [x, weight], transB=1)


def ops(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in lower(proto).graph.node]


def reshaped(*shape: int) -> Callable[[Net, str], str]:
    return lambda net, x: net.op("Reshape", [x, net.constant(shape, np.int64)])


def flattened(axis: int) -> Callable[[Net, str], str]:
    return lambda net, x: net.op("Flatten", [x], axis=axis)


def twice(net: Net, x: str) -> str:
    """A view of a view of a view."""
    return flattened(1)(net, reshaped(1, 4, 6, 6)(net, flattened(1)(net, x)))


FORMS = {
    "Flatten": flattened(1),
    "Flatten from behind": flattened(-3),
    "Reshape": reshaped(1, -1),
    "Reshape of the batch": reshaped(0, FEATURES),
    "view of view": twice,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_flattened_map_is_the_same_stream(form: str, tmp_path: Path) -> None:
    net = Net()
    x = FORMS[form](net, first(net))
    x = net.quant(net.norm(dense(net, x, FEATURES, 7), 7), signed=0)
    dense(net, x, 7, 5)
    _, network, compared = accepted(net.model([1, 5]), tmp_path)
    assert compared > 1000
    found = ops(network)
    assert found.count("StreamFlatten") == 1
    assert found.count("IntMvu") == 3


def test_channels_behind_the_pixels_are_the_order_of_the_stream(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Transpose", [first(net)], perm=[0, 2, 3, 1])
    dense(net, reshaped(1, FEATURES)(net, x), FEATURES, 5)
    _, network, compared = accepted(net.model([1, 5]), tmp_path)
    assert compared > 1000
    assert ops(network).count("StreamFlatten") == 1


def test_other_orders_of_axes_are_refused(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Transpose", [first(net)], perm=[0, 3, 1, 2])
    dense(net, reshaped(1, FEATURES)(net, x), FEATURES, 5)
    assert "permutes the axes by [0, 3, 1, 2]" in refusal(net.model([1, 5]), tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_quantiser_behind_a_flattening_reads_the_map(channels: int, tmp_path: Path) -> None:
    """As brevitas_examples' fully connected networks begin."""
    net = Net(5, 4, channels)
    x = flattened(1)(net, "x")
    x = net.op("Sub", [net.op("Mul", [x, net.constant(2.0)]), net.constant(1.0)])
    x = sign(net, x)
    weight = sign(net, net.constant(net.weights(9, 20 * channels)))
    x = net.op("MatMul", [x, net.op("Transpose", [weight], perm=[1, 0])])
    x = net.quant(net.norm(x, 9), 0.5, 2, 1, 1)
    dense(net, x, 9, 4)
    _, network, compared = accepted(net.model([1, 4]), tmp_path)
    assert compared > 100
    graph = lower(network)
    assert [n.op_type for n in graph.graph.node][:3] == ["Thresholding", "StreamFlatten", "XnorMvu"]
    assert len(graph.get_initializer(graph.graph.node[0].input[1])) == channels


@pytest.mark.parametrize("same", ["channel", "feature"])
def test_features_may_have_thresholds_of_their_own(same: str, tmp_path: Path) -> None:
    """BN behind a flattening: one row per channel where all pixels are treated alike."""
    net = Net()
    x = flattened(1)(net, first(net))
    rows = [net.rng.uniform(0.5, 1.5, FEATURES) for _ in range(4)]
    if same == "channel":
        rows = [np.repeat(row[:4], 36) for row in rows]
    x = net.op("BatchNormalization", [x, *(net.constant(row) for row in rows)])
    x = net.quant(x, 0.25, 3)
    dense(net, x, FEATURES, 5)
    _, network, compared = accepted(net.model([1, 5]), tmp_path)
    assert compared > 1000
    graph = lower(network)
    (node,) = [n for n in graph.graph.node if n.op_type == "Thresholding"][1:]
    assert len(graph.get_initializer(node.input[1])) == (4 if same == "channel" else FEATURES)
    assert sum(bool(b.plan) for b in boundaries(graph)) == 1


@pytest.mark.parametrize("rows", [1, 48])
def test_a_normalised_picture_may_be_flattened(rows: int, tmp_path: Path) -> None:
    """Mean and std per channel, one quantiser behind; with a factor for all, or for every one."""
    net = Net(4, 4, 3)
    x = net.op("Mul", [flattened(1)(net, "x"), net.constant(net.rng.uniform(1, 2, rows))])
    x = net.quant(x, 0.25, 4)
    dense(net, x, 48, 5)
    network = clean(load(save(net.model([1, 5]), tmp_path)).model)
    Pixels(1 / 255, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25), "asked").note(network)
    assert verify(network, lower(network)) > 200


@pytest.mark.parametrize("readers", [1, 2])
def test_what_treats_all_values_alike_may_stand_in_front(readers: int, tmp_path: Path) -> None:
    """2x - 1 of the picture, then the flattening; not where others read it, too."""
    net = Net(4, 4)
    x = net.op("Mul", ["x", net.constant(2.0)])
    x = middle = net.op("Sub", [x, net.constant([1.0])])
    x = net.quant(flattened(1)(net, x), 0.25, 4)
    x = dense(net, x, 16, 5)
    if readers == 2:
        weight = net.quant(net.constant(net.weights(5, 1, 4, 4)), narrow=1)
        y = net.op("Conv", [net.quant(middle, 0.25, 4), weight], kernel_shape=[4, 4])
        net.op("Add", [x, flattened(1)(net, y)])
        assert "its result is wanted as integers by Flatten" in refusal(net.model([1, 5]), tmp_path)
        return
    _, network, compared = accepted(net.model([1, 5]), tmp_path)
    assert compared > 50
    assert [n.op_type for n in network.graph.node][:4] == ["Flatten", "Mul", "Sub", "Quant"]


def test_too_many_features_of_their_own_are_refused(tmp_path: Path) -> None:
    net = Net(300, 300)
    x = flattened(1)(net, "x")
    x = net.op("Mul", [x, net.constant(net.rng.uniform(1, 2, 90_000))])
    dense(net, net.quant(x), 90_000, 2)
    assert "quantises 90000 features of 256 values each" in refusal(net.model([1, 2]), tmp_path)


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (lambda net, x: x, "ends the graph with a map (6, 6, 4) (HWC) that was flattened"),
        (reshaped(1, 12, 12), "expected (1, C*H*W) of a map (1, C, H, W)"),
        (reshaped(12, 12), "expected (1, C*H*W) of a map (1, C, H, W)"),
        (lambda net, x: net.op("Concat", [x, x], axis=1), "a map (6, 6, 4) (HWC) that was flatt"),
    ],
)  # fmt: skip
def test_what_reads_a_flattened_map_otherwise_is_refused(
    last: Callable[[Net, str], str], reason: str, tmp_path: Path
) -> None:
    net = Net()
    last(net, flattened(1)(net, first(net)))
    told = refusal(net.model([1, FEATURES]), tmp_path)
    assert reason in told, told


def test_weights_of_another_number_of_inputs_are_refused(tmp_path: Path) -> None:
    net = Net()
    dense(net, flattened(1)(net, first(net)), 4, 5)
    told = refusal(net.model([1, 5]), tmp_path)
    assert "found weights for 4 inputs, expected 144" in told, told


def test_flattened_logits_of_a_map_leave_as_they_are(tmp_path: Path) -> None:
    """Asked for raw: the pixels stay where they are, the boundary knows the order."""
    net = Net()
    net.op("Add", [flattened(1)(net, first(net)), net.constant(0.5)])
    network = clean(load(save(net.model([1, FEATURES]), tmp_path)).model)
    graph = lower(network, heads={net.last: "raw"})
    assert verify(network, graph) > 500
    (output,) = run(graph, np.zeros((1, 8, 8, 1), np.uint8)).values()
    assert output.shape == (1, 6, 6, 4)


def vector(features: int, quantised: bool, **pixels: Any) -> onnx.ModelProto:
    net = Net()
    net.shape = [1, features]
    x = net.quant("x", 0.5, 4) if quantised else "x"
    x = net.quant(net.norm(dense(net, x, features, 6), 6), signed=0)
    dense(net, x, 6, 1)
    return net.model([1, 1])


@pytest.mark.parametrize("quantised", [False, True])
def test_a_network_may_read_a_vector(quantised: bool, tmp_path: Path) -> None:
    network = clean(load(save(vector(13, quantised), tmp_path)).model)
    Pixels(1.0, why="asked").note(network)
    graph = lower(network)
    assert verify(network, graph) > 50
    assert graph.get_tensor_shape(graph.graph.input[0].name) == [1, 1, 1, 13]


def test_inputs_of_other_axes_are_refused(tmp_path: Path) -> None:
    net = Net()
    net.shape = [1, 2, 2, 4, 4]
    dense(net, flattened(1)(net, "x"), 64, 2)
    assert "expected a picture (1, C, H, W), a line (1, C, L) or a vector" in refusal(
        net.model([1, 2]), tmp_path
    )


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("halved", [False, True])
def test_a_network_that_undoes_its_normalisation_reads_the_bits(
    flat: bool, halved: bool, tmp_path: Path
) -> None:
    """As FINN's network for the security data set: -1 and +1 come in, (x + 1) / 2 is 0 and 1."""
    net = Net(4, 4)
    net.shape = [1, 1, 4, 4] if flat else [1, 16]
    if halved:
        x = net.op("Add", [net.op("Div", ["x", net.constant(2.0)]), net.constant([0.5])])
    else:
        x = net.op("Div", [net.op("Add", ["x", net.constant([1.0])]), net.constant(2.0)])
    x = dense(net, flattened(1)(net, x) if flat else x, 16, 1)
    sign(net, x)
    network = clean(load(save(net.model([1, 1]), tmp_path)).model)
    pixels = absorb(network, Pixels(2.0, (1.0,), why="asked"))
    step = 1 if halved else 2
    assert (pixels.scale, pixels.mean, pixels.step) == (step, (0.0,), step)
    assert "Add" not in {n.op_type for n in network.graph.node}
    pixels.note(network)
    assert verify(network, lower(network)) > 10


@pytest.mark.parametrize("number", [0.5, 2.0])
def test_what_leaves_no_step_is_left_alone(number: float, tmp_path: Path) -> None:
    net = Net()
    net.shape = [1, 16]
    dense(net, net.op("Add", ["x", net.constant(number)]), 16, 1)
    network = clean(load(save(net.model([1, 1]), tmp_path)).model)
    before = network.SerializeToString()
    pixels = Pixels(2.0, (1.0,), why="asked")
    assert absorb(network, pixels) is pixels
    assert network.SerializeToString() == before


def test_level_codes_may_be_flattened(tmp_path: Path) -> None:
    """Counts of thresholds that stand for levels: the product behind has a unit of its own."""
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), 1.0 / 8, narrow=1)
    x = net.op("Conv", ["x", weight], kernel_shape=[3, 3])
    x = net.op("Unsqueeze", [x, net.constant([2], np.int64)])
    limits = np.sort(net.rng.uniform(-1, 1, (4, 3, 1, 1)), axis=1)
    x = net.op("Cast", [net.op("GreaterOrEqual", [x, net.constant(limits)])], to=1)
    x = net.op("ReduceSum", [x, net.constant([2], np.int64)], keepdims=0)
    codes = net.op("Cast", [x], to=7)
    x = net.op("Gather", [net.constant([0.0, 1.0, 3.0, 4.0]), codes], axis=0)
    x = flattened(1)(net, x)
    weight = net.constant(net.rng.integers(-2, 3, (5, FEATURES)))
    net.op("Gemm", [x, weight], transB=1)
    _, network, compared = accepted(net.model([1, 5], opset=17), tmp_path)
    assert compared > 500
    assert ops(network).count("StreamFlatten") == ops(network).count("PaMvu") == 1


def test_counts_of_a_cropped_window_stay_counts(tmp_path: Path) -> None:
    """One window of a map with room behind it: the map is cropped in front."""
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
    weight = sign(net, net.constant(net.weights(5, 4, 3, 3)))
    x = net.op("Conv", [net.quant(x, 0.25, 2), weight], kernel_shape=[3, 3], strides=[7, 7])
    net.op("Flatten", [net.quant(net.norm(x, 5), 0.5, 3)])
    _, network, compared = accepted(net.model([1, 5]), tmp_path)
    assert compared > 500
    assert {"StreamCrop", "BinaryMvu"} <= set(ops(network))


@pytest.mark.parametrize("bits", [2, 4, 5])
@pytest.mark.parametrize("bias", [False, True])
def test_signed_codes_are_counts_for_weights_of_one_bit(
    bias: bool, bits: int, tmp_path: Path
) -> None:
    """Up to 4 bits: such weights take one bit each; thresholds, or a bias, take in the rest."""
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
    x = net.op("MaxPool", [net.quant(x, 0.25, bits)], kernel_shape=[2, 2], strides=[2, 2])
    weight = sign(net, net.constant(net.weights(6, 4, 2, 2)))
    own = [net.constant(net.rng.normal(0, 0.4, 6))] if bias else []
    x = net.op("Conv", [x, weight, *own], kernel_shape=[2, 2])
    gamma = [-0.5, 0.5, 0.4, -0.4, 0.3, 0.2]
    rows = (gamma, np.full(6, 0.1), np.zeros(6), np.ones(6))
    x = net.op("BatchNormalization", [x, *(net.constant(row) for row in rows)])
    x = flattened(1)(net, net.quant(x, 0.25, bits))
    net.op("Gemm", [x, sign(net, net.constant(net.weights(5, 24)))], transB=1)
    _, network, compared = accepted(net.model([1, 5]), tmp_path)
    assert compared > 500
    graph = lower(network)
    found = [n.op_type for n in graph.graph.node if n.op_type.endswith("Mvu")]
    assert found == ["IntMvu", "BinaryMvu" if bits <= 4 else "IntMvu", "IntMvu"]
    types = [graph.get_tensor_datatype(n.output[0]).name for n in graph.graph.node]
    assert (f"UINT{bits}" in types) == (bits <= 4) == (f"INT{bits}" not in types)


def test_padded_signed_codes_stay_signed(tmp_path: Path) -> None:
    """A border of 0 is no count."""
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
    weight = sign(net, net.constant(net.weights(5, 4, 8, 8)))
    x = net.op("Conv", [net.quant(x, 0.25, 2), weight], kernel_shape=[8, 8], pads=[1, 1, 1, 1])
    flattened(1)(net, x)
    _, network, compared = accepted(net.model([1, 5]), tmp_path)
    assert compared > 500
    assert ops(network).count("IntMvu") == 2


def test_signed_codes_read_by_others_stay_signed(tmp_path: Path) -> None:
    """Two products read them, one of them with wider weights."""
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
    x = net.quant(x, 0.25, 2)
    one = net.op("Conv", [x, sign(net, net.constant(net.weights(3, 4, 6, 6)))], kernel_shape=[6, 6])
    weight = net.quant(net.constant(net.weights(3, 4, 6, 6)), narrow=1)
    other = net.op("Conv", [x, weight], kernel_shape=[6, 6])
    codes = [net.quant(net.norm(y, 3), 0.5, 3) for y in (one, other)]
    dense(net, flattened(1)(net, net.op("Concat", codes, axis=1)), 6, 4)
    _, network, compared = accepted(net.model([1, 4]), tmp_path)
    assert compared > 500
    assert "BinaryMvu" not in ops(network)

# SPDX-License-Identifier: Apache-2.0
"""Products of codes of which none stands for 0: pixels less a mean, with and without a border."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.hw.cpu.engine import Engine
from andpop.hw.cpu.pack import compile_graph, fused_tensors
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import GoldenExecutor
from andpop.hw.graph.heads import heads_of
from andpop.hw.graph.loader import load
from andpop.hw.graph.lower.shifted import Finer, around, axis_of, coarser
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.pixels import Pixels, written
from andpop.hw.graph.verify import extreme_pictures, verify
from comparisons import Comparisons
from foreign_graphs import Net, head, save, sign
from qonnx.core.modelwrapper import ModelWrapper

PUBLISHED = Pixels(1 / 255, (0.485, 0.456, 0.406), (0.226,))
ONE = Pixels(1 / 255, (0.1307,), (0.3081,))


def prepared(net: Net, outputs: int, pixels: Pixels, folder: Path) -> onnx.ModelProto:
    """The network as a build prepares it, reading such pixels."""
    network = clean(load(save(net.model([1, outputs]), folder)).model)
    pixels.note(network)
    return network


def exact(
    net: Net, outputs: int, pixels: Pixels, folder: Path, compared: Comparisons
) -> ModelWrapper:
    """The lowered graph: QONNX in exact arithmetic, golden model and CPU engine agree."""
    network = prepared(net, outputs, pixels, folder)
    graph = lower(network)
    compared.count(verify(network, graph), 0)
    golden = GoldenExecutor(graph)
    engine = Engine(*compile_graph(graph.model, "shifted", None))
    pictures = extreme_pictures(*golden.shapes[golden.input][1:], noise=2)
    found, hidden = engine.intermediates(pictures), fused_tensors(graph.model)
    # Who asks for no tensor inside gets steps that run together.
    (head,) = heads_of(graph.model)
    logits = engine.run(pictures)[1]
    compared.arrays(found[head.logits].reshape(logits.shape), logits, "logits")
    for at, wanted in golden.chunks(pictures, "all"):
        for name, values in wanted.items():
            if name not in hidden:
                compared.arrays(values, found[name][at], name)
    return graph


def ops(graph: ModelWrapper) -> list[str]:
    return [node.op_type for node in graph.graph.node]


def convolved(net: Net, x: str, outputs: int = 4, bits: int = 4, **attributes: object) -> str:
    """A 3x3 convolution of all channels, or of groups."""
    group = int(str(attributes.get("group", 1)))
    weight = net.weights(outputs, net.shape[1] // group, 3, 3)
    weight_name = net.quant(net.constant(weight), 0.05, bits, narrow=1)
    return net.op("Conv", [x, weight_name], kernel_shape=[3, 3], **attributes)


def finished(net: Net, x: str, channels: int, height: int, width: int) -> None:
    weight = net.quant(net.constant(net.weights(5, channels, height, width)), narrow=1)
    logits = net.op("Conv", [x, weight], kernel_shape=[height, width])
    net.op("Flatten", [logits], axis=1)


def turned(net: Net, x: str) -> str:
    """A normalisation with factors of both signs, and 4 bits."""
    rows = [
        [0.7, -0.4, 1.1, -0.9],
        [0.3, 0.1, -0.2, 0.5],
        [0.1, -0.3, 0.2, 0.0],
        [1.0, 0.6, 1.2, 0.8],
    ]
    return net.quant(net.op("BatchNormalization", [x, *map(net.constant, rows)]), 0.21, signed=0)


SHAPES: dict[str, tuple[dict[str, list[int]], int, int]] = {
    "all sides": ({"pads": [1, 1, 1, 1]}, 8, 7),
    "stride 2": ({"pads": [1, 1, 1, 1], "strides": [2, 2]}, 4, 4),
    "two sides": ({"pads": [0, 0, 1, 2]}, 7, 7),
    "dilated": ({"pads": [2, 2, 2, 2], "dilations": [2, 2]}, 8, 7),
    "wider than the kernel": ({"pads": [3, 0, 0, 0]}, 9, 5),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_border_of_0_around_pixels_less_a_mean(
    name: str, tmp_path: Path, compared: Comparisons
) -> None:
    attributes, height, width = SHAPES[name]
    net = Net(8, 7, 3)
    finished(net, turned(net, convolved(net, "x", **attributes)), 4, height, width)
    graph = exact(net, 5, PUBLISHED, tmp_path, compared)
    assert ops(graph).count("BorderBias") == 1


def test_without_a_border_thresholds_take_in_the_mean(
    tmp_path: Path, compared: Comparisons
) -> None:
    net = Net(8, 8, 3)
    head(net, turned(net, convolved(net, "x")), 4)
    assert ops(exact(net, 5, PUBLISHED, tmp_path, compared))[:3] == [
        "ConvolutionInputGenerator",
        "IntMvu",
        "Thresholding",
    ]


@pytest.mark.parametrize(("channels", "outputs", "op"), [(4, 4, "GroupedMvu"), (64, 64, "IntMvu")])
def test_groups(
    channels: int, outputs: int, op: str, tmp_path: Path, compared: Comparisons
) -> None:
    """Each has the means of its channels."""
    mean = tuple(round(0.01 * (i + 1), 2) for i in range(channels))
    net = Net(6, 6, channels)
    group = channels if op == "GroupedMvu" else 2
    x = convolved(net, "x", outputs, group=group, pads=[1, 1, 1, 1])
    finished(net, net.quant(x, 0.3, signed=1), outputs, 6, 6)
    graph = exact(net, 5, Pixels(1 / 255, mean), tmp_path, compared)
    assert {op, "BorderBias"} <= set(ops(graph))


def test_std_of_a_small_common_step(tmp_path: Path, compared: Comparisons) -> None:
    net = Net(6, 6, 3)
    finished(net, turned(net, convolved(net, "x", pads=[1, 1, 1, 1])), 4, 6, 6)
    pixels = Pixels(1 / 255, (0.5, 0.4, 0.25), (0.5, 0.25, 0.5))
    exact(net, 5, pixels, tmp_path, compared)


def test_std_of_no_small_common_step_are_refused_in_a_line(tmp_path: Path) -> None:
    net = Net(6, 6, 3)
    finished(net, turned(net, convolved(net, "x", bits=8, pads=[1, 1, 1, 1])), 4, 6, 6)
    network = prepared(net, 5, Pixels(1 / 255, PUBLISHED.mean, (0.229, 0.224, 0.225)), tmp_path)
    wanted = r"Conv_\d+ \(Conv\): reads channels of which one code stands for \[50400, 51525, 51296"
    with pytest.raises(LoweringError, match=wanted) as caught:
        lower(network)
    assert "use one std for all channels, or a quantiser" in str(caught.value)
    assert "\n" not in str(caught.value)


FRONTS: dict[str, Callable[[Net], str]] = {
    "Sub, Div": lambda net: net.op(
        "Div",
        [
            net.op("Sub", ["x", net.constant(np.reshape([0.485, 0.456, 0.406], (1, 3, 1, 1)))]),
            net.constant(np.full((1, 3, 1, 1), 0.226)),
        ],
    ),
    "Add, Mul": lambda net: net.op(
        "Mul", [net.op("Add", ["x", net.constant(-0.45)]), net.constant(-4.0)]
    ),
    "a quantiser": lambda net: net.op(
        "Sub", [net.quant("x", 0.0625), net.constant(np.reshape([0.3, 0.2, 0.1], (3, 1, 1)))]
    ),
    "a Pad": lambda net: net.op(
        "Pad",
        [
            net.op("Sub", ["x", net.constant(0.45)]),
            net.constant([0, 0, 0, 1, 0, 0, 1, 0], np.int64),
        ],
    ),
    "another border": lambda net: net.op(
        "Pad",
        [
            net.quant("x", 0.0625),
            net.constant([0, 0, 1, 0, 0, 0, 0, 1], np.int64),
            net.constant(0.3),
        ],
    ),
    "another border of signs": lambda net: net.op(
        "Pad",
        [
            sign(net, net.op("Sub", ["x", net.constant(0.5)])),
            net.constant([0, 0, 1, 0, 0, 0, 0, 1], np.int64),
            net.constant(-1.0),
        ],
    ),
}


@pytest.mark.parametrize("name", FRONTS)
def test_in_the_file(name: str, tmp_path: Path, compared: Comparisons) -> None:
    """The numbers are those that float32 holds."""
    net = Net(6, 7, 3)
    x = FRONTS[name](net)
    other = name.startswith("another border")
    sides, height, width = ([0] * 4, 5, 6) if other else ([1] * 4, 6, 7)
    if name == "a Pad":
        height, width = 7, 8
    finished(net, turned(net, convolved(net, x, pads=sides)), 4, height, width)
    graph = exact(net, 5, Pixels(1 / 255), tmp_path, compared)
    # Signs that products alone read count from their border.
    assert ("BorderBias" in ops(graph)) == (name != "another border of signs")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("inside", [False, True], ids=["asked", "in the file"])
def test_fully_connected(
    channels: int, inside: bool, tmp_path: Path, compared: Comparisons
) -> None:
    net = Net(5, 6, channels)
    mean = np.reshape([0.1307, 0.3, 0.5][:channels], (channels, 1, 1))
    x = net.op("Sub", ["x", net.constant(mean)]) if inside else "x"
    x = net.op("Flatten", [x], axis=1)
    weight = net.quant(net.constant(net.weights(30 * channels, 8)), narrow=1)
    x = net.quant(net.norm(net.op("MatMul", [x, weight]), 8), 0.1, 4)
    net.op("MatMul", [x, net.quant(net.constant(net.weights(8, 5)), narrow=1)])
    graph = exact(net, 5, Pixels(1 / 255) if inside else ONE, tmp_path, compared)
    assert "BorderBias" not in ops(graph)


def test_a_quantiser_that_falls_and_rises(tmp_path: Path, compared: Comparisons) -> None:
    net = Net(4, 4, 1)
    x = net.op("Mul", [convolved(net, "x", bits=2, pads=[1, 1, 1, 1]), net.constant(8.0)])
    x = net.op("Mul", [x, net.op("Sigmoid", [x])])
    finished(net, net.quant(x, 0.07), 4, 4, 4)
    graph = exact(net, 5, ONE, tmp_path, compared)
    assert {"BorderBias", "SignedThresholding"} <= set(ops(graph))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_quantiser_that_falls_and_rises_without_a_border(
    channels: int, tmp_path: Path, compared: Comparisons
) -> None:
    net = Net(6, 6, channels)
    x = net.op("Mul", [convolved(net, "x", bits=2), net.constant(6.0)])
    x = net.op("Mul", [x, net.op("Sigmoid", [x])])
    finished(net, net.quant(x, 0.07), 4, 4, 4)
    assert "BorderBias" not in ops(exact(net, 5, ONE, tmp_path, compared))


def test_sums_wider_than_float32_end_around_the_thresholds(
    tmp_path: Path, compared: Comparisons
) -> None:
    """A first layer of 7x7 with large weights: 20 million in parts of a step."""
    net = Net(12, 12, 3)
    weight = net.constant(np.sign(net.weights(4, 3, 7, 7)) * 0.9)
    weight = net.quant(weight, 0.0075, 8, narrow=1)
    x = net.op("Conv", ["x", weight], kernel_shape=[7, 7], pads=[3, 3, 3, 3])
    finished(net, turned(net, x), 4, 12, 12)
    graph = exact(net, 5, PUBLISHED, tmp_path, compared)
    (node,) = (n for n in graph.graph.node if n.op_type == "BorderBias")
    assert {a.name: a.i for a in node.attribute}["saturates"] == 1


def test_signs(tmp_path: Path, compared: Comparisons) -> None:
    """One threshold: fewer parts of a step are enough for it."""
    net = Net(6, 6, 3)
    finished(net, sign(net, net.norm(convolved(net, "x", pads=[1, 1, 1, 1]), 4)), 4, 6, 6)
    graph = exact(net, 5, PUBLISHED, tmp_path, compared)
    (node,) = (n for n in graph.graph.node if n.op_type == "BorderBias")
    assert {a.name: a.i for a in node.attribute}["shift"] == 1


@pytest.mark.parametrize("bias", [False, True])
def test_logits_of_pixels(bias: bool, tmp_path: Path, compared: Comparisons) -> None:
    """No quantiser behind: the order of the logits is what counts."""
    net = Net(5, 5, 1)
    inputs = ["x", net.quant(net.constant(net.weights(5, 1, 5, 5)), narrow=1)]
    inputs += [net.constant([0.1, -0.2, 0.33, 0.0, 0.7])] if bias else []
    net.op("Flatten", [net.op("Conv", inputs, kernel_shape=[5, 5])], axis=1)
    exact(net, 5, ONE, tmp_path, compared)


def test_sums_that_a_pool_reads_are_exact(tmp_path: Path, compared: Comparisons) -> None:
    net = Net(6, 6, 1)
    x = convolved(net, "x", bits=2, pads=[1, 1, 1, 1])
    x = net.op("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    finished(net, net.quant(x, 0.2), 4, 3, 3)
    graph = exact(net, 5, Pixels(1 / 255, (0.5,)), tmp_path, compared)
    assert "BorderBias" in ops(graph)


def test_a_map_larger_than_a_piece_of_a_chain(tmp_path: Path, compared: Comparisons) -> None:
    """The CPU runs the product and what is behind it 128 pixels at a time."""
    net = Net(16, 15, 1)
    x = turned(net, convolved(net, "x", pads=[1, 1, 1, 1]))
    finished(net, net.op("MaxPool", [x], kernel_shape=[8, 8], strides=[8, 7]), 4, 2, 2)
    exact(net, 5, ONE, tmp_path, compared)


def test_what_no_product_reads_is_refused(tmp_path: Path) -> None:
    net = Net(6, 6, 1)
    net.op("Flatten", [net.op("MaxPool", ["x"], kernel_shape=[6, 6])], axis=1)
    with pytest.raises(LoweringError, match="expected a convolution or a fully connected layer"):
        lower(prepared(net, 1, ONE, tmp_path))


def test_rows_by_what_lies_inside() -> None:
    found = axis_of(5, kernel=3, stride=1, dilation=1, before=1, behind=1)
    assert found.runs == [1, 3, 1]
    assert found.inside.tolist() == [[False, True, True], [True] * 3, [True, True, False]]
    assert axis_of(224, kernel=7, stride=2, dilation=1, before=3, behind=3).runs == [1, 1, 109, 1]
    assert axis_of(8, kernel=3, stride=1, dilation=2, before=2, behind=2).runs == [2, 4, 2]
    assert axis_of(2, kernel=3, stride=1, dilation=1, before=1, behind=1).runs == [1, 1]


def test_parts_of_a_step_keep_what_is_reached() -> None:
    """Every sum around every threshold, with every summand."""
    rng = np.random.default_rng(0)
    sums = np.arange(-20, 21)
    for places, steps in ((2, 1), (9, 3), (9, 15), (25, 7)):
        added = rng.integers(-5000, 5000, (places, 6))
        fine = Finer(added, 1000)
        reached = sums[:, None, None] * fine.count + fine.added
        for o in range(6):
            rows = np.broadcast_to(reached[..., o].reshape(-1), (6, 41 * places))
            values, parts = fine.parts_of(rows)
            exact = (sums[:, None] * 1000 + added[:, o]).reshape(-1)
            assert (parts, values[o].tolist()) == (1000, exact.tolist())
        thresholds = np.sort(rng.integers(-8 * fine.count, 8 * fine.count, (6, steps)), axis=1)
        fewer, less, at = coarser(fine.count, fine.added, thresholds)
        assert fewer <= min(fine.count, 2 * steps)
        wanted = reached[..., None] >= thresholds
        assert ((sums[:, None, None] * fewer + less)[..., None] >= at).tolist() == wanted.tolist()


def test_sums_end_where_no_threshold_lies() -> None:
    """The second output lies below all thresholds of the first, and its own are never reached."""
    thresholds = np.array([[-3, 0, 70, 90], [-700, -650, 40, 50]])
    low, high = np.array([[-100, -900], [-50, -880]]), np.array([[80, -800], [60, -790]])
    at, datatype = around(thresholds, low, high)
    assert datatype == "INT8"
    for o in range(2):
        sums = np.arange(low[:, o].min(), high[:, o].max() + 1)
        wanted = sums[:, None] >= thresholds[o]
        assert (sums.clip(-128, 127)[:, None] >= at[o]).tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("number", "numerator", "denominator"),
    [(0.485, 97, 200), (1 / 3, 1, 3), (0.49139968, 1535624, 3125000), (0.5, 1, 2)],
)
def test_numbers_are_what_was_written(number: float, numerator: int, denominator: int) -> None:
    found = written(number)
    assert (found.numerator * denominator, True) == (found.denominator * numerator, True)


def test_numbers_of_files_are_what_float32_holds() -> None:
    held = float(np.float32(0.485))
    assert written(held).denominator == 1 << 23
    assert float(written(held)) == held

# SPDX-License-Identifier: Apache-2.0
"""Somebody else's network is lowered: BN and quantisers become thresholds on integers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.hw.graph.bisection import bisect, levels_of_table
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.folding import fold
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.qonnx_graph import QonnxGraph
from andpop.hw.graph.signed_steps import signed_steps
from andpop.hw.graph.specialise import specialise
from andpop.hw.graph.tables import Table
from andpop.hw.graph.verify import verify
from andpop.hw.kernels.signed_thresholding.golden import signed_thresholding
from foreign_graphs import Net, accepted, head, refusal
from foreign_networks import export_cnv
from onnx import TensorProto, helper, numpy_helper
from qonnx_block import block, by_output, set_constant


def test_any_function_of_an_integer_is_signed_steps() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-4, 5, (20, 60))
    codes[:, 10:40] = codes[:, 10:11]
    codes[3] = 2
    thresholds, steps, base = signed_steps(np.arange(-30, -30 + codes.shape[1]), codes)
    x = np.broadcast_to(np.arange(-30, 30)[:, None], (60, 20))
    found = signed_thresholding(x, thresholds, steps, base)
    np.testing.assert_array_equal(found.T, codes)
    assert np.all(np.diff(thresholds, axis=1) >= 0)


@pytest.fixture(scope="module")
def cnv(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = export_cnv(tmp_path_factory.mktemp("cnv") / "cnv.onnx")
    return clean(load(path).model)


def test_cnv_equals_qonnx(
    cnv: onnx.ModelProto, record_property: Callable[[str, object], None]
) -> None:
    graph = lower(cnv)
    assert {n.op_type for n in graph.graph.node} == {
        "Thresholding",
        "ConvolutionInputGenerator",
        "IntMvu",
        "XnorMvu",
        "StreamMaxPool",
        "LabelSelect",
    }
    compared = verify(cnv, graph, noise=2)
    # The accumulators of layers with a negative gamma are turned around and not compared.
    assert compared > 5 * 60_000
    record_property("values_compared", compared)
    fold(specialise(graph), 50_000)


def test_verification_names_the_first_wrong_node(cnv: onnx.ModelProto) -> None:
    graph = lower(cnv)
    table = [t for t in graph.graph.initializer if t.name.endswith("_thresholds")][3]
    value = numpy_helper.to_array(table).copy()
    value[3] += 40
    table.CopyFrom(numpy_helper.from_array(value, table.name))
    with pytest.raises(
        LoweringError, match=r"lowered to .*values differ, the first at \("
    ) as caught:
        verify(cnv, graph, noise=1)
    layer = table.name.rpartition("_Thresholding")[0]
    assert layer in str(caught.value)


def test_signs_with_a_border_of_0_are_numbers() -> None:
    proto = block()
    set_constant(proto, "minus", np.float32(0))
    graph = lower(proto)
    signs = next(n for n in graph.graph.node if n.op_type == "Thresholding")
    assert graph.get_tensor_datatype(signs.output[0]).name == "INT2"
    assert verify(proto, graph) > 1000


def test_a_function_that_falls_steps_down() -> None:
    proto = block()
    sub = by_output(proto, "d")
    sub.CopyFrom(helper.make_node("Sub", ["gamma", "x"], ["d"], name="turned"))
    set_constant(proto, "gamma", np.float32([200, 100]).reshape(2, 1, 1))
    graph = lower(proto)
    pictures = np.random.default_rng(7).integers(0, 256, (40, 4, 4, 2), dtype=np.uint8)
    pictures[0, 0] = [[200, 99], [201, 100], [202, 101], [255, 0]]
    first = next(n for n in graph.graph.node if n.op_type == "SignedThresholding")
    found = run(graph, pictures, "all")[first.output[0]]
    np.testing.assert_array_equal(found, pictures <= np.array([200, 100]))


def test_a_bias_turns_around_with_the_weights_of_a_negative_gamma() -> None:
    rng = np.random.default_rng(4)
    weights = np.float32([[5, -7], [-3, 6]]).reshape(2, 2, 1, 1)
    bias = np.float32([350, -420])
    gamma = np.float32([-0.5, 0.25]).reshape(2, 1, 1)
    proto = block()
    constants = {"w0": weights, "b0": bias, "turn": gamma}
    proto.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    by_output(proto, "d").CopyFrom(helper.make_node("Mul", ["c", "turn"], ["d"], name="turned"))
    proto.graph.node.insert(0, helper.make_node("Conv", ["x", "w0", "b0"], ["c"], name="first"))
    for name in ("c", "d"):
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 4, 4])
        proto.graph.value_info.append(info)
    graph = lower(proto)
    pictures = rng.integers(0, 256, (20, 4, 4, 2), dtype=np.uint8)
    acc = pictures.astype(np.int64) @ weights[:, :, 0, 0].T.astype(np.int64) + np.int64(bias)
    expected = acc * np.array([-1, 1]) >= 0
    for channel in (0, 1):
        assert 20 < expected[..., channel].sum() < 300
    tensors = run(graph, pictures, "all")
    first = next(n for n in graph.graph.node if n.op_type == "Thresholding")
    np.testing.assert_array_equal(tensors[first.output[0]], expected)


def test_pixels_of_an_undeclared_input_are_divided_by_255() -> None:
    proto = block()
    del proto.graph.quantization_annotation[:]
    # Between two codes each: no rounding moves them, and 256 in the place of 255 would.
    set_constant(proto, "gamma", np.float32([200.5, 99.5]).reshape(2, 1, 1) / 255)
    graph = lower(proto)
    pictures = np.random.default_rng(7).integers(0, 256, (40, 4, 4, 2), dtype=np.uint8)
    pictures[0, 0] = [[200, 99], [201, 100], [202, 101], [255, 0]]
    first = next(n for n in graph.graph.node if n.op_type == "Thresholding")
    found = run(graph, pictures, "all")[first.output[0]]
    np.testing.assert_array_equal(found, pictures >= np.array([201, 100]))


def test_signs_of_numbers_beyond_all_codes_are_always_the_same() -> None:
    proto = block()
    set_constant(proto, "gamma", np.float32([-1, 300]).reshape(2, 1, 1))
    graph = lower(proto)
    pictures = np.random.default_rng(7).integers(0, 256, (9, 4, 4, 2), dtype=np.uint8)
    pictures[0], pictures[1] = 0, 255
    first = next(n for n in graph.graph.node if n.op_type == "Thresholding")
    found = run(graph, pictures, "all")[first.output[0]]
    assert (found[..., 0] == 1).all() and (found[..., 1] == 0).all()


def test_halving_finds_what_the_table_says() -> None:
    """Rising and falling channels, levels never reached, always reached, and between."""
    rng = np.random.default_rng(4)
    limit, channels = 300, 40
    step = rng.uniform(-0.02, 0.02, (channels, 1)).astype(np.float32)
    step[:3] = 0
    offset = rng.uniform(-3, 3, (channels, 1)).astype(np.float32)

    def tabulate(integers: np.ndarray) -> Table:
        values = np.rint(integers.astype(np.float32) * step + offset)
        codes = np.clip(values, -8, 7).astype(np.int64)
        return Table(-limit, codes, "INT4", Fraction(1, 2), -8, 7)

    graph = QonnxGraph(block())
    found = bisect(graph, [], channels, limit, tabulate)
    expected = levels_of_table(tabulate(np.tile(np.arange(-limit, limit + 1), (channels, 1))))
    assert expected is not None
    np.testing.assert_array_equal(found.thresholds, expected.thresholds)
    np.testing.assert_array_equal(found.falls, expected.falls)
    assert (found.first, found.datatype, found.scale) == (-8, "INT4", 0.5)


def over_large_sums(kind: str, *constants: float, **attributes: float) -> onnx.ModelProto:
    """A function of sums of more than 2**17 values, quantised."""
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), 0.01, 8, narrow=1)
    x = net.op("Conv", ["x", weight], kernel_shape=[3, 3])
    x = net.op(kind, [x, *map(net.constant, constants)], **attributes)
    head(net, net.quant(x, 0.05), 4)
    return net.model([1, 5])


@pytest.mark.parametrize(
    "network",
    [
        over_large_sums("Softsign"),
        over_large_sums("Sign"),
        over_large_sums("Selu"),
        over_large_sums("Exp"),
        over_large_sums("Floor"),
    ],
)
def test_functions_that_never_fall_are_searched(network: onnx.ModelProto, tmp_path: Path) -> None:
    assert accepted(network, tmp_path)[2] > 0


@pytest.mark.parametrize(
    "network",
    [
        over_large_sums("Pow", 2.0),
        over_large_sums("Celu", alpha=0.5),
        over_large_sums("ThresholdedRelu", alpha=-0.5),
        over_large_sums("Selu", alpha=-1.0),
        over_large_sums("Reciprocal"),
    ],
)
def test_functions_that_may_turn_are_not(network: onnx.ModelProto, tmp_path: Path) -> None:
    assert "may turn around over an integer of more than 131072" in refusal(network, tmp_path)

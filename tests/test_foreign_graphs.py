# SPDX-License-Identifier: Apache-2.0
"""Networks in the words of other people's exporters: what works, and to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from andpop.flows import api
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.loader import load
from andpop.hw.graph.lower import handlers
from andpop.hw.graph.lower import product as products
from andpop.hw.graph.lowering import ARITHMETIC, lower
from andpop.hw.graph.multi_threshold import OP as MULTI_THRESHOLD
from andpop.hw.graph.nodewise import Nodewise
from andpop.hw.graph.reference import Reference
from andpop.hw.graph.schema import FOLDED, LOWERED, QUANTISERS
from andpop.hw.graph.verify import extreme_pictures
from foreign_graphs import GRAPHS, Net, accepted, first, head, plain, refusal, save
from onnx import TensorProto, helper, numpy_helper
from PIL import Image


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_every_network_the_mutants_start_from_is_exact(
    make: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    _, _, values = accepted(make(), tmp_path)
    assert values > 1000


def test_every_op_that_is_lowered_has_a_rule_at_the_door() -> None:
    assert {*handlers(), *ARITHMETIC} <= {*LOWERED, *QUANTISERS, MULTI_THRESHOLD}
    assert not {"MatMul", "Einsum", "Conv", "Resize", "OneHot"} & {*FOLDED}


# What works.


def test_intquant_is_quant(tmp_path: Path) -> None:
    proto = plain()
    _, _, values = accepted(proto, tmp_path)
    for node in proto.graph.node:
        node.op_type = "IntQuant" if node.op_type == "Quant" else node.op_type
    assert accepted(proto, tmp_path)[2] == values


@pytest.mark.parametrize("mode", ["ROUND", "round", "CEIL", "FLOOR", "UP", "DOWN", "ROUND_TO_ZERO"])
def test_rounding_modes(mode: str, tmp_path: Path) -> None:
    proto = plain()
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.name == "rounding_mode":
                attribute.s = mode.encode()
    accepted(proto, tmp_path)


def test_unknown_rounding_mode_is_refused(tmp_path: Path) -> None:
    proto = plain()
    attribute = next(a for a in proto.graph.node[3].attribute if a.name == "rounding_mode")
    attribute.s = b"STOCHASTIC"
    assert "found rounding_mode 'STOCHASTIC', expected ROUND, " in refusal(proto, tmp_path)


@pytest.mark.parametrize("opset", [10, 13, 21])
def test_old_and_new_forms_of_pad_slice_and_sum(opset: int, tmp_path: Path) -> None:
    net = Net()
    x = first(net)
    new = opset > 11
    if new:
        x = net.op("Pad", [x, net.constant([0, 0, 1, 0, 0, 0, 1, 2], np.int64)])
        rows = ([0, 1], [(1 << 63) - 1, -1], [2, -1])
        x = net.op("Slice", [x, *(net.constant(row, np.int64) for row in rows)])
        net.op("ReduceSum", [x, net.constant([2, 3], np.int64)], keepdims=0)
    else:
        x = net.op("Pad", [x], pads=[0, 0, 1, 0, 0, 0, 1, 2], mode="constant", value=0.0)
        rows = ([0, 1], [(1 << 63) - 1, -1], [2, -1])
        x = net.op("Slice", [x, *(net.constant(row, np.int64) for row in rows)])
        net.op("ReduceSum", [x], axes=[2, 3], keepdims=0)
    _, network, _ = accepted(net.model([1, 4], opset), tmp_path)
    ops = [n.op_type for n in lower(network).graph.node]
    assert ops[-4:] == ["FMPadding", "StreamCrop", "GlobalAccPool", "LabelSelect"]


def test_slice_with_attributes(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Slice", [first(net)], starts=[2, 1], ends=[(1 << 63) - 1, -1], axes=[2, 3])
    weight = net.quant(net.constant(net.weights(5, 4, 4, 4)), narrow=1)
    net.op("Conv", [x, weight], kernel_shape=[4, 4])
    accepted(net.model([1, 5, 1, 1], 9), tmp_path)


def test_global_sum_of_unsigned_codes_is_unsigned(tmp_path: Path) -> None:
    net = Net()
    total = net.op("ReduceSum", [first(net), net.constant([2, 3], np.int64)], keepdims=1)
    weight = net.quant(net.constant(net.weights(4, 5)), narrow=1)
    net.op("MatMul", [net.op("Flatten", [total]), weight])
    api.build(save(net.model([1, 5]), tmp_path), tmp_path / "build", until="emit")


def test_what_nobody_reads_is_ignored_and_said(tmp_path: Path) -> None:
    net = Net()
    x = first(net)
    weight = net.quant(net.constant(net.weights(4, 4, 1, 1)), narrow=1)
    net.op("Conv", [x, weight], kernel_shape=[1, 1])
    head(net, x, 4)
    loaded, network, _ = accepted(net.model([1, 5]), tmp_path)
    assert loaded.notes == ["ignored 2 nodes whose results nobody reads: Quant_4 (Quant), "
                            "Conv_5 (Conv)"]  # fmt: skip
    assert "Conv_5" not in [n.name for n in network.graph.node]
    built = api.build(tmp_path / "net.onnx", tmp_path / "build", until="lower")
    assert built["notes"][0].startswith("input: pixel / 255 ")
    assert built["notes"][1:] == loaded.notes


def test_a_summand_that_is_the_same_for_all_pixels(tmp_path: Path) -> None:
    def net(summand: Any) -> onnx.ModelProto:
        net = Net()
        weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
        x = net.op("Conv", ["x", weight], kernel_shape=[3, 3])
        head(net, net.quant(net.op("Add", [x, net.constant(summand)]), signed=0), 4)
        return net.model([1, 5])

    accepted(net(np.full((1, 1, 6, 6), 0.3)), tmp_path)
    accepted(net(np.broadcast_to(np.arange(4).reshape(1, 4, 1, 1) / 3, (1, 4, 6, 6))), tmp_path)
    text = refusal(net(np.arange(36).reshape(1, 1, 6, 6) / 9), tmp_path)
    assert text.startswith("Add_2 (Add): its constant c4 has the shape (1, 1, 6, 6), expected")


def test_a_bias_between_steps_and_a_scale_per_output(tmp_path: Path) -> None:
    net = Net()
    weight = net.qdq(net.constant(net.weights(4, 1, 3, 3)), [0.125, 0.2, 0.05, 0.11], (-7, 7), 0)
    bias = net.constant([0.3, -0.21, 0.07, 0.5])
    x = net.op("Conv", ["x", weight, bias], kernel_shape=[3, 3])
    head(net, net.quant(x, signed=0), 4)
    accepted(net.model([1, 5]), tmp_path)


def test_a_scale_per_output_is_exact_on_rounding_borders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pixels that add to 255 are 1, which lies on a border: tabulated, halved and judged."""
    net = Net(256, 2)
    weight = net.qdq(net.constant([[[[0.125] * 2]], [[[0.375] * 2]]]), [0.125, 0.375], (-7, 7), 0)
    codes = net.quant(net.op("Conv", ["x", weight], kernel_shape=[1, 2]), 0.25, signed=0)
    weight = net.quant(net.constant(net.weights(5, 2, 256, 1)), narrow=1)
    net.op("Flatten", [net.op("Conv", [codes, weight], kernel_shape=[256, 1])], axis=1)
    _, network, _ = accepted(net.model([1, 5]), tmp_path)
    ramp = np.arange(256)
    picture = np.stack([ramp, 255 - ramp], axis=1).astype(np.uint8)[None, :, :, None]
    theirs = Reference(network).run(picture, {codes})[codes]
    graph = lower(network)
    ours = run(graph, picture, "all")
    thresholds = next(n.output[0] for n in graph.graph.node if n.op_type == "Thresholding")
    # 0.125 is half a step of 0.25 and 0.375 one and a half: to the even code.
    for channel, code in ((0, 0), (1, 2)):
        np.testing.assert_array_equal(theirs[0, channel] / 0.25, np.full((256, 1), code))
        np.testing.assert_array_equal(ours[thresholds][0, ..., channel], np.full((256, 1), code))
    monkeypatch.setattr(products, "FEW_VALUES", 0)
    assert lower(network).model == graph.model


@pytest.mark.parametrize("turn", ["Abs", "Sigmoid"])
def test_what_may_turn_around_is_tabulated(turn: str, tmp_path: Path) -> None:
    """x, or x times its sigmoid, of 32,131 values: no halving finds where it turns."""
    net = Net()

    def activated(x: str) -> str:
        curve = net.op(turn, [x])
        return net.quant(net.op("Mul", [x, curve]) if turn == "Sigmoid" else curve, 0.05)

    head(net, first(net, activated), 4)
    _, network, values = accepted(net.model([1, 5]), tmp_path)
    assert values > 1000
    lowered = lower(network).model.graph
    assert any(node.op_type == "SignedThresholding" for node in lowered.node)


def test_a_stored_bias_of_logits_is_whole_but_for_float32(tmp_path: Path) -> None:
    """As ONNX Runtime's tools write it: int32 codes, their scale the product of two in float32."""
    net = Net()
    x = net.quant(net.op("Relu", [first(net)]), 0.11, signed=0)
    weight = net.qdq(net.constant(net.weights(5, 4, 6, 6)), 0.07, (-7, 7))
    codes = np.array([1001, -733, 5, 12345, 3])
    scale = np.float32(0.07) * np.float32(0.11)
    stored = codes * np.float64(scale) / (float(np.float32(0.07)) * float(np.float32(0.11)))
    assert np.any(stored != codes), "the scale is exact here"
    bias = net.op("DequantizeLinear", [net.constant(codes, np.int32), net.constant(scale)])
    net.op("Conv", [x, weight, bias], kernel_shape=[6, 6])
    _, network, _ = accepted(net.model([1, 5, 1, 1]), tmp_path)
    graph = lower(network)
    product = next(n for n in reversed(graph.graph.node) if n.op_type == "IntMvu")
    assert graph.get_initializer(product.input[2]).tolist() == codes.tolist()


@pytest.mark.parametrize("batch", ["N", 4])
def test_batch_of_the_export(batch: Any, tmp_path: Path) -> None:
    net = Net()
    logits = head(net, first(net), 4)
    net.op("Reshape", [logits, net.constant([batch if batch == 4 else -1, 5], np.int64)])
    proto = net.model([1, 5])
    for value in (proto.graph.input[0], proto.graph.output[0]):
        dim = value.type.tensor_type.shape.dim[0]
        if batch == "N":
            dim.dim_param = "N"
        else:
            dim.dim_value = batch
    _, network, _ = accepted(proto, tmp_path)
    assert [d.dim_value for d in network.graph.output[0].type.tensor_type.shape.dim] == [1, 5]


# QuantizeLinear and DequantizeLinear.


def test_qdq_computes_what_onnx_runtime_computes(tmp_path: Path) -> None:
    """The Quants it becomes are the pairs, bit by bit: every scale and range, ties included."""
    net = Net(1, 64)
    for scale, ends in ((0.125, (0, 15)), (0.1, (-8, 7)), (0.3, (-127, 127)), (0.02, (0, 255))):
        net.qdq(net.last, scale, ends)
    proto = net.model([1, 1, 1, 64])
    network = clean(load(save(proto, tmp_path)).model)
    assert {n.op_type for n in network.graph.node} == {"Quant"}
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    execute = Nodewise(network)
    for numbers in (np.arange(-32, 32) / 16, np.linspace(-3, 6, 64), np.arange(64) * 0.05):
        x = numbers.astype(np.float32).reshape(1, 1, 1, 64)
        (expected,) = session.run(None, {"x": x})
        tensors = {t.name: numpy_helper.to_array(t) for t in network.graph.initializer} | {"x": x}
        for node in network.graph.node:
            tensors |= execute(node, {**tensors, node.output[0]: x})
        np.testing.assert_array_equal(tensors[network.graph.output[0].name], expected)


def test_stored_codes_and_shared_pairs(tmp_path: Path) -> None:
    """As ONNX Runtime's tools write: int8 weights, int32 bias, one DequantizeLinear per reader."""
    net = Net()
    rng = np.random.default_rng(1)

    def stored(shape: tuple[int, ...], scale: Any, dtype: Any = np.int8, zero: int = 0) -> str:
        codes = net.constant(rng.integers(-7, 8, shape) + zero, dtype)
        rank = np.ndim(scale)
        zeros = net.constant(np.full(shape[:rank], zero), dtype)
        return net.op("DequantizeLinear", [codes, net.constant(scale), zeros], axis=0)

    bias = stored((4,), 0.125, np.int32)
    x = net.op("Conv", ["x", stored((4, 1, 3, 3), [0.125] * 4), bias], kernel_shape=[3, 3])
    pair = [net.constant(0.125), net.constant(0, np.uint8)]
    codes = net.op("QuantizeLinear", [net.op("Relu", [x]), *pair])
    left, right = (net.op("DequantizeLinear", [codes, *pair]) for _ in range(2))
    net.op("Concat", [left, right], axis=1)
    weight = stored((5, 8, 6, 6), 0.125, np.uint8, 128)
    net.op("Conv", [net.nodes[-2].output[0], weight], kernel_shape=[6, 6])
    _, network, _ = accepted(net.model([1, 5, 1, 1]), tmp_path)
    assert [n.op_type for n in lower(network).graph.node].count("Thresholding") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ends": (3, 100)}, "found codes of 3..100 less the zero point and 1 scales"),
        ({"other": 0.25}, "found another scale or zero point than QuantizeLinear_"),
        ({"scale": -0.125}, "found a scale that is not above 0"),
        ({"scale": np.nan}, "found a scale that is not above 0"),
    ],
)
def test_qdq_that_is_no_quantiser_of_ours(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
    x = net.op("Conv", ["x", weight], kernel_shape=[3, 3])
    zero = net.constant(change.get("zero", 0), np.uint8)
    scale = net.constant(change.get("scale", 0.125))
    codes = net.op("QuantizeLinear", [x, scale, zero])
    low, high = change.get("ends", (0, 15))
    ends = [net.constant(low, np.uint8), net.constant(high, np.uint8)]
    other = net.constant(change["other"]) if "other" in change else scale
    x = net.op("DequantizeLinear", [net.op("Clip", [codes, *ends]), other, zero])
    head(net, x, 4)
    assert reason in refusal(net.model([1, 5]), tmp_path)


@pytest.mark.parametrize(("zero", "ends"), [(3, (0, 255)), (128, (0, 255)), (7, (2, 90))])
def test_codes_of_any_range_around_0(zero: int, ends: tuple[int, int], tmp_path: Path) -> None:
    """As ONNX Runtime quantises by default. Sums of whole pixels over an even scale lie on halves,
    which go to the even code before the zero point is added: ONNX Runtime gives the same codes."""
    net = Net()
    weight = net.constant(net.rng.integers(-3, 4, (4, 1, 3, 3)))
    x = net.op("Conv", ["x", weight], kernel_shape=[3, 3])
    parameters = [net.constant(16.0), net.constant(zero, np.uint8)]
    codes = net.op("QuantizeLinear", [x, *parameters])
    limits = [net.constant(end, np.uint8) for end in ends]
    x = net.op("DequantizeLinear", [net.op("Clip", [codes, *limits]), *parameters])
    head(net, x, 4)
    proto = net.model([1, 5])
    annotation = proto.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value="UINT8")
    _, network, _ = accepted(proto, tmp_path)
    graph = lower(network)
    thresholds = next(n for n in graph.graph.node if "Thresholding" in n.op_type)
    pictures = extreme_pictures(8, 8, 1, noise=20)
    found = run(graph.model, pictures, "all")[thresholds.output[0]]
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info(x, TensorProto.FLOAT, None))
    del proto.graph.node[4:]  # ONNX Runtime knows no QONNX.
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    rows = [session.run(None, {"x": p[None, None, :, :, 0].astype(np.float32)}) for p in pictures]
    wanted = np.concatenate([row[0] for row in rows]).transpose(0, 2, 3, 1) / 16
    np.testing.assert_array_equal(found, wanted)
    assert len(np.unique(found)) > 50 and (found % 2 == 1).any()


# In hardware.


@pytest.mark.sim
def test_rows_and_columns_that_nobody_needs_are_captured(tmp_path: Path) -> None:
    """A pool that leaves the picture's last row over: the result is out before that row is in."""
    net = Net(9, 8)
    x = first(net)
    x = net.op("MaxPool", [x], kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 0, 1])
    weight = net.quant(net.constant(net.weights(3, 4, 1, 1)), narrow=1)
    net.op("Conv", [x, weight], kernel_shape=[1, 1])
    api.build(save(net.model([1, 3, 3, 2]), tmp_path), tmp_path / "build")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, pixels in enumerate(extreme_pictures(9, 8, 1, 0)):
        Image.fromarray(pixels[..., 0]).save(pictures / f"{i}.png")
    result = api.compare(tmp_path / "build", pictures, ("qonnx", "golden", "cpu", "rtl"))
    assert result["values_differing"] == 0
    assert result["values_compared"] > 3000


def _vector(net: Net, batch: int) -> list[int]:
    net.shape = [batch, 20]
    weight = net.quant(net.constant(net.weights(20, 9)), narrow=1)
    x = net.quant(net.norm(net.op("MatMul", ["x", weight]), 9), signed=0)
    net.op("Gemm", [x, net.quant(net.constant(net.weights(5, 9)), narrow=1)], transB=1)
    return [batch, 5]


def _flattened(net: Net, batch: int) -> list[int]:
    x = net.op("Reshape", [first(net), net.constant([batch, 144], np.int64)])
    net.op("MatMul", [x, net.quant(net.constant(net.weights(144, 5)), narrow=1)])
    return [batch, 5]


def _map(net: Net, batch: int) -> list[int]:
    weight = net.quant(net.constant(net.weights(3, 4, 1, 1)), narrow=1)
    net.op("Conv", [first(net), weight], kernel_shape=[1, 1])
    return [batch, 3, 6, 6]


def _line(net: Net, batch: int) -> list[int]:
    net.shape = [batch, 2, 12]
    weight = net.quant(net.constant(net.weights(4, 2, 3)), narrow=1)
    x = net.quant(net.norm(net.op("Conv", ["x", weight], kernel_shape=[3]), 4), signed=0)
    x = net.op("Reshape", [x, net.constant([batch, 40], np.int64)])
    net.op("MatMul", [x, net.quant(net.constant(net.weights(40, 5)), narrow=1)])
    return [batch, 5]


def _software(net: Net, batch: int) -> list[int]:
    shape = _flattened(net, batch)
    net.op("Softmax", [net.last], axis=1)
    return shape


@pytest.mark.parametrize("network", [_vector, _flattened, _map, _line, _software])
@pytest.mark.parametrize("batch", [4, 1])
@pytest.mark.parametrize("named", [True, False])
def test_batch_of_every_head(
    network: Callable[[Net, int], list[int]], batch: int, named: bool, tmp_path: Path
) -> None:
    """Also one that is open beside a Reshape to the batch of the export."""
    net = Net()
    shape = network(net, batch)
    if network is not _line and network is not _vector:
        net.shape[0] = batch
    proto = net.model(shape)
    if named and batch == 1:
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    _, ready, count = accepted(proto, tmp_path)
    assert count > 20
    assert all(v.type.tensor_type.shape.dim[0].dim_value == 1 for v in ready.graph.output)

# SPDX-License-Identifier: Apache-2.0
"""One network in the several forms that exporters write; ONNX Runtime says what it computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.loader import ModelError, load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.qonnx_graph import LoweringError
from andpop.hw.graph.reference import Reference
from andpop.hw.graph.verify import verify
from foreign_graphs import QONNX, Net, plain
from onnx import helper

Middle = Callable[[Net, str], str]


def weight(net: Net, *shape: int) -> str:
    return net.qdq(net.constant(net.weights(*shape)), ends=(-7, 7))


def network(
    front: Middle | None = None,
    middle: Middle | None = None,
    last: Middle | None = None,
    opset: int = 13,
    **conv: Any,
) -> onnx.ModelProto:
    """Convolution, 4-bit codes, global sum, product; others' words in front, between and behind."""
    net = Net()
    x = front(net, "x") if front else "x"
    x = net.op("Conv", [x, weight(net, 4, 1, 3, 3)], kernel_shape=[3, 3], **conv)
    x = net.qdq(net.norm(x, 4))
    x = middle(net, x) if middle else x
    x = net.op("Conv", [x, weight(net, 6, 4, 3, 3)], kernel_shape=[3, 3])
    x = net.op("ReduceSum", [net.qdq(net.norm(x, 6)), net.constant([2, 3], np.int64)])
    x = net.op("Conv", [x, weight(net, 5, 6, 1, 1)], kernel_shape=[1, 1])
    x = last(net, x) if last else net.op("Flatten", [x])
    return net.model([1, 5], opset)


def check(proto: onnx.ModelProto, folder: Path, pixel: float = 255.0) -> onnx.ModelProto:
    """The logits are those that ONNX Runtime finds in the file as it is."""
    path = folder / "net.onnx"
    onnx.save(proto, path)
    ready = clean(load(path).model)
    graph = lower(ready)
    assert verify(ready, graph, noise=2) > 500
    pictures = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), dtype=np.uint8)
    judge = Reference(ready)
    exact = np.stack(
        [judge.run(p[None], {judge.output})[judge.output].reshape(-1) for p in pictures]
    )
    found = next(iter(run(graph, pictures).values())).reshape(-1)
    # Optimised, ONNX Runtime rounds at other places, and refuses int32 weights.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options)
    planes = pictures.transpose(0, 3, 1, 2) / np.float32(pixel)
    logits = np.stack([session.run(None, {"x": p[None]})[0].reshape(-1) for p in planes])
    # Float32 moves a logit by less than 1e-3, and never to where another code lies.
    np.testing.assert_allclose(logits, exact, atol=1e-3)
    codes = np.unique(exact)
    nearest = codes[np.abs(logits[..., None] - codes).argmin(axis=-1)]
    np.testing.assert_array_equal(nearest, exact)
    assert found.tolist() == logits.argmax(axis=1).tolist()
    assert len(np.unique(logits)) > 20
    return ready


def identity(net: Net, x: str) -> str:
    return net.op("Identity", [x])


def dropout(net: Net, x: str) -> str:
    return net.op("Dropout", [x, net.constant(0.5), net.constant(False, np.bool_)])


def cast(net: Net, x: str) -> str:
    return net.op("Cast", [x], to=onnx.TensorProto.FLOAT)


@pytest.mark.parametrize("same", [identity, dropout, cast])
def test_nodes_that_change_nothing(same: Middle, tmp_path: Path) -> None:
    proto = network(same, same, lambda net, x: same(net, net.op("Flatten", [same(net, x)])))
    ready = check(proto, tmp_path)
    assert not {"Identity", "Dropout", "Cast"} & {n.op_type for n in ready.graph.node}


def test_dropout_that_trains_and_a_cast_that_rounds_are_refused(tmp_path: Path) -> None:
    def trains(net: Net, x: str) -> str:
        return net.op("Dropout", [x, net.constant(0.5), net.constant(True, np.bool_)])

    def rounds(net: Net, x: str) -> str:
        return cast(net, net.op("Cast", [x], to=onnx.TensorProto.FLOAT16))

    for middle, op in ((trains, "Dropout"), (rounds, "Cast")):
        with pytest.raises(LoweringError, match=op):
            check(network(middle=middle), tmp_path)


@pytest.mark.parametrize("mode", ["VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("stride", [1, 2])
def test_borders_that_onnx_works_out(mode: str, stride: int, tmp_path: Path) -> None:
    def pool(net: Net, x: str) -> str:
        return net.op("MaxPool", [x], kernel_shape=[2, 2], strides=[1, 1], auto_pad=mode)

    strides = {} if mode == "VALID" else {"strides": [stride, stride]}
    check(network(middle=pool, auto_pad=mode, **strides), tmp_path)


@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
def test_squeeze_in_the_place_of_flatten(axes: list[int], tmp_path: Path) -> None:
    last = lambda net, x: net.op("Squeeze", [x, net.constant(axes, np.int64)])  # noqa: E731
    check(network(last=last), tmp_path)


@pytest.mark.parametrize(("op", "number"), [("Div", 255.0), ("Mul", 1 / 255)])
def test_pixels_scaled_by_the_graph_go_into_a_convolution(
    op: str, number: float, tmp_path: Path
) -> None:
    """No quantiser of the input: the convolution reads pixels of another step."""
    front = lambda net, x: net.op(op, [x, net.constant(number)])  # noqa: E731
    check(network(front), tmp_path, pixel=1.0)


def test_codes_of_another_step_go_into_a_convolution(tmp_path: Path) -> None:
    def middle(net: Net, x: str) -> str:
        return net.op("Div", [net.op("Mul", [net.constant(0.75), x]), net.constant(2.0)])

    check(network(middle=middle), tmp_path)


BIAS = [3.0, -2.5, 0.125, 1.0, -4.0]


def test_a_bias_behind_the_last_product(tmp_path: Path) -> None:
    def behind_a_convolution(net: Net, x: str) -> str:
        return net.op("Flatten", [net.op("Add", [x, net.constant(np.reshape(BIAS, (1, 5, 1, 1)))])])

    def behind_a_matrix(net: Net, x: str) -> str:
        (conv,) = [n for n in net.nodes if n.output[0] == x]
        net.nodes.remove(conv)
        flat = net.op("Flatten", [conv.input[0]])
        product = net.op("MatMul", [flat, weight(net, 6, 5)])
        return net.op("Add", [net.constant(BIAS), product])

    for last in (behind_a_convolution, behind_a_matrix):
        ready = check(network(last=last), tmp_path)
        assert ready.graph.node[-1].op_type in ("Flatten", "Gemm")


def test_an_added_bias_may_lie_between_steps(tmp_path: Path) -> None:
    last = lambda net, x: net.op("Add", [x, net.constant(np.reshape(BIAS, (5, 1, 1)) / 3)])  # noqa: E731
    check(network(last=last), tmp_path)


@pytest.mark.parametrize(
    "rows",
    [
        ([0, 0, 1, 2], [1, 4, 4, (1 << 63) - 1]),
        ([0, -100, 1], [(1 << 63) - 1] * 3, [0, 1, -1]),
        ([-(1 << 63)], [-1], [3]),
    ],
)
def test_slices_that_keep_batch_and_channels(rows: tuple[list[int], ...], tmp_path: Path) -> None:
    def middle(net: Net, x: str) -> str:
        return net.op("Slice", [x, *(net.constant(row, np.int64) for row in rows)])

    check(network(middle=middle), tmp_path)


def test_a_slice_of_channels_is_refused(tmp_path: Path) -> None:
    def middle(net: Net, x: str) -> str:
        x = net.op("Slice", [x, *(net.constant([v], np.int64) for v in (0, 3, 1))])
        return net.op("Concat", [x, x], axis=1)

    with pytest.raises(LoweringError, match=r"slices the axes \[1\]"):
        check(network(middle=lambda net, x: middle(net, x)), tmp_path)


def scales(net: Net, x: str) -> str:
    return net.qdq(x, [0.25] * 4, axis=-3)


def whole_map(net: Net, x: str) -> str:
    rows = np.broadcast_to(np.reshape([0.5, -1, 2, 0], (4, 1, 1)), (4, 6, 6))
    return net.qdq(net.op("Add", [x, net.constant(rows)]))


@pytest.mark.parametrize("middle", [scales, whole_map])
def test_constants_of_more_axes_than_they_need(middle: Middle, tmp_path: Path) -> None:
    check(network(middle=middle), tmp_path)


def test_int32_codes_as_weights(tmp_path: Path) -> None:
    def middle(net: Net, x: str) -> str:
        codes = net.constant(net.rng.integers(-7, 8, (4, 4, 1, 1)), np.int32)
        w = net.op("DequantizeLinear", [codes, net.constant(0.125)])
        return net.qdq(net.op("Conv", [x, w], kernel_shape=[1, 1]))

    check(network(middle=middle), tmp_path)


def test_bits_may_be_whole_numbers(tmp_path: Path) -> None:
    """QONNX allows int32 for the number of bits."""
    proto = plain()
    for node in proto.graph.node:
        if node.op_type == "Quant":
            tensor = next(t for t in proto.graph.initializer if t.name == node.input[3])
            bits = onnx.numpy_helper.to_array(tensor).astype(np.int32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(bits, tensor.name))
    onnx.save(proto, tmp_path / "net.onnx")
    ready = clean(load(tmp_path / "net.onnx").model)
    assert lower(ready).model == lower(clean(plain())).model


def test_more_than_8_bits_are_told_as_such(tmp_path: Path) -> None:
    middle = lambda net, x: net.quant(x, 0.01, 12, 0)  # noqa: E731
    proto = network(middle=middle)
    onnx.save(proto, tmp_path / "net.onnx")
    with pytest.raises(LoweringError, match="quantises to 12 bits, expected at most 8"):
        lower(clean(load(tmp_path / "net.onnx").model))


def test_opsets_named_twice(tmp_path: Path) -> None:
    proto = network()
    del proto.opset_import[:]
    for domain, version in (("", 13), ("ai.onnx", 13), (QONNX, 1), (QONNX, 1)):
        proto.opset_import.append(helper.make_opsetid(domain, version))
    path = tmp_path / "net.onnx"
    onnx.save(proto, path)
    loaded = load(path).model
    assert [(o.domain, o.version) for o in loaded.opset_import] == [("", 13), (QONNX, 1)]
    proto.opset_import[0].version = 11
    onnx.save(proto, path)
    with pytest.raises(ModelError, match=r"found the ONNX opsets \[11, 13\]"):
        load(path)

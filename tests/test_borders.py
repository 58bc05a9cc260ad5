# SPDX-License-Identifier: Apache-2.0
"""Borders of other numbers than 0, which are codes of the quantiser in front."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.lowering import lower
from foreign_graphs import Net, accepted, first, head, refusal, sign
from onnx import save
from test_fully_connected import check, draw


def bordered(net: Net, x: str, value: float) -> str:
    pads = net.constant([0, 0, 1, 2, 0, 0, 1, 0], np.int64)
    return net.op("Pad", [x, pads, net.constant(value)])


def network(bits: int, value: float, weights: int, pooled: bool = False) -> onnx.ModelProto:
    """Codes of so many bits, a border, and weights of so many bits."""
    net = Net()
    x = first(net, lambda x: sign(net, x) if bits == 1 else net.quant(x, bits=bits))
    if pooled:
        x = net.op("MaxPool", [x], kernel_shape=[2, 2], strides=[1, 1])
    x = bordered(net, x, value)
    kernel = net.constant(net.weights(6, 4, 3, 3))
    kernel = sign(net, kernel) if weights == 1 else net.quant(kernel, bits=weights, narrow=1)
    x = net.norm(net.op("Conv", [x, kernel], kernel_shape=[3, 3]), 6)
    pool = net.op("ReduceSum", [net.quant(x, signed=0), net.constant([2, 3], np.int64)])
    kernel = net.quant(net.constant(net.weights(5, 6, 1, 1)), narrow=1)
    net.op("Flatten", [net.op("Conv", [pool, kernel], kernel_shape=[1, 1])])
    return net.model([1, 5])


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    ("bits", "value", "weights"),
    [
        (1, -1.0, 4),
        (1, -1.0, 1),
        (1, 1.0, 4),
        (1, 1.0, 1),
        (4, 0.375, 4),
        (4, -0.5, 1),
        (8, 1.25, 3),
    ],
)
def test_a_border_that_is_a_code(
    bits: int, value: float, weights: int, pooled: bool, tmp_path: Path
) -> None:
    _, ready, count = accepted(network(bits, value, weights, pooled), tmp_path)
    assert count > 1000
    assert "FMPadding" in [node.op_type for node in lower(ready).graph.node]


@pytest.mark.parametrize(("bits", "value"), [(4, 0.3), (4, 1.0), (4, -1.125)])
def test_a_border_that_is_no_code(bits: int, value: float, tmp_path: Path) -> None:
    assert accepted(network(bits, value, 4), tmp_path)[2] > 100


def test_a_border_that_is_no_code_in_front_of_a_pool_is_refused(tmp_path: Path) -> None:
    net = Net()
    net.op("MaxPool", [bordered(net, first(net), 0.3)], kernel_shape=[2, 2], strides=[1, 1])
    head(net, net.last, 4, 7)
    text = refusal(net.model([1, 5]), tmp_path)
    assert "Pad" in text
    assert "or a code of a quantiser that nothing but products behind such a border reads" in text


def test_a_border_of_a_tensor_that_others_read(tmp_path: Path) -> None:
    net = Net()
    x = first(net)
    wide = bordered(net, x, 0.25)
    kernel = net.quant(net.constant(net.weights(4, 4, 3, 4)), narrow=1)
    y = net.quant(net.norm(net.op("Conv", [wide, kernel], kernel_shape=[3, 4]), 4), signed=0)
    cut = net.op("Slice", [x, *(net.constant(v, np.int64) for v in ([0, 0], [6, 5], [2, 3]))])
    cut_y = net.op("Slice", [y, *(net.constant(v, np.int64) for v in ([0, 0], [6, 5], [2, 3]))])
    total = net.op("ReduceSum", [net.op("Add", [cut, cut_y]), net.constant([2, 3], np.int64)])
    kernel = net.quant(net.constant(net.weights(5, 4, 1, 1)), narrow=1)
    net.op("Flatten", [net.op("Conv", [total, kernel], kernel_shape=[1, 1])])
    assert accepted(net.model([1, 5]), tmp_path)[2] > 100


@pytest.mark.sim
def test_a_border_of_signs_is_exact_on_every_backend(tmp_path: Path) -> None:
    save(network(1, -1.0, 4), tmp_path / "net.onnx")
    api.build(tmp_path / "net.onnx", tmp_path / "build", target_cycles=400)
    check(tmp_path / "build", draw(tmp_path / "pictures", (8, 8)), 4)

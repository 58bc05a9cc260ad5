# SPDX-License-Identifier: Apache-2.0
"""Biases of logits that are no whole steps of their sums: floats, as PyTorch stores them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import GoldenExecutor
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.verify import verify
from foreign_graphs import Net, first, sign
from onnx import save
from test_fully_connected import draw

OUTPUTS = 7


def logits(net: Net, x: str, quant: Callable[[str], str], bias: np.ndarray) -> onnx.ModelProto:
    weight = quant(net.constant(net.weights(OUTPUTS, 144)))
    net.op("Gemm", [net.op("Flatten", [x]), weight, net.constant(bias)], transB=1)
    return net.model([1, OUTPUTS])


def biased(bias: np.ndarray) -> onnx.ModelProto:
    net = Net()
    return logits(net, first(net), lambda w: net.quant(w, narrow=1), bias)


def of_signs(bias: np.ndarray) -> onnx.ModelProto:
    net = Net()
    return logits(net, first(net, lambda x: sign(net, x)), lambda w: sign(net, w), bias)


@pytest.mark.parametrize("network", [biased, of_signs])
def test_biases_between_steps_decide_as_they_are(
    network: Callable[[np.ndarray], onnx.ModelProto], tmp_path: Path
) -> None:
    bias = np.random.default_rng(3).normal(0, 3, OUTPUTS)
    save(network(bias), tmp_path / "net.onnx")
    api.build(tmp_path / "net.onnx", tmp_path / "build", until="pack")
    pictures = draw(tmp_path / "pictures", (8, 8), 8)
    result = api.compare(tmp_path / "build", pictures, ("qonnx", "cpu"))
    assert result["values_differing"] == 0


def test_the_least_rest_decides_between_equal_whole_steps() -> None:
    """Of sums that are equal the class is the one with the largest rest of its bias."""
    step = Fraction(1, 64)
    rests = [Fraction(r, 1 << 20) for r in (5, 1, 7, 7, 0, 3, 2)]
    bias = np.array([float(step * (3 + rest)) for rest in rests])
    net = Net()
    zero = net.quant(net.constant(np.zeros((OUTPUTS, 144))), narrow=1)
    net.op("Gemm", [net.op("Flatten", [first(net)]), zero, net.constant(bias)], transB=1)
    proto = clean(net.model([1, OUTPUTS]))
    graph = lower(proto)
    assert verify(proto, graph) > 0
    ((_, found),) = GoldenExecutor(graph).chunks(np.zeros((1, 8, 8, 1), np.uint8), "all")
    assert found[graph.graph.output[0].name].reshape(-1).tolist() == [2]

# SPDX-License-Identifier: Apache-2.0
"""Sums that no float32 holds: 8 bits times 8 bits over more inputs than 518."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.lowering import lower
from andpop.quant.grid import container
from foreign_graphs import Net, accepted, head, refusal, save
from test_fully_connected import check

EXACT = 1 << 24


def wide(inputs: int = 1200, falls: bool = True, side: int = 3) -> onnx.ModelProto:
    """Two convolutions of 8 bits; all weights of the second have one sign in each channel."""
    net = Net(side, side, 3)
    weight = net.quant(net.constant(net.weights(inputs, 3, 1, 1)), 0.01, 8, narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[1, 1]), inputs)
    x = net.quant(x, 0.011, 8, signed=0)
    codes = net.rng.integers(90, 128, (4, inputs, 1, 1)) * np.reshape([1, 1, -1, -1], (4, 1, 1, 1))
    weight = net.quant(net.constant(codes * 0.01), 0.01, 8, narrow=1)
    x = net.op("Conv", [x, weight], kernel_shape=[1, 1])
    gain = [0.5, 0.7, 0.4, -0.6] if falls else [0.5, 0.7, -0.4, -0.6]
    rows = (gain, [0.1, 0.2, 0.3, 0.4], [900.0, 700.0, -500.0, 10.0], [1.5, 0.5, 2.0, 1.0])
    x = net.op("BatchNormalization", [x, *map(net.constant, rows)])
    head(net, net.quant(x, 9.7, 8, signed=0), 4, side)
    return net.model([1, 5])


@pytest.mark.sim
def test_sums_beyond_float32_are_exact_on_every_backend(tmp_path: Path) -> None:
    api.build(save(wide(), tmp_path), tmp_path / "build", target_cycles=20_000, input_scale="1/255")
    pictures = np.random.default_rng(3).integers(0, 256, (5, 3, 3, 3), dtype=np.uint8)
    pictures[3], pictures[4] = 0, 255
    np.save(tmp_path / "x.npy", pictures)
    check(tmp_path / "build", tmp_path / "x.npy", 5)


@pytest.mark.parametrize("falls", [False, True])
def test_thresholds_beyond_float32_are_those_of_the_network(falls: bool, tmp_path: Path) -> None:
    _, network, compared = accepted(wide(falls=falls), tmp_path)
    assert compared > 0
    graph = lower(network).graph
    node = [n for n in graph.node if n.op_type == "Thresholding"][1]
    (stored,) = (t for t in graph.initializer if t.name == node.input[1])
    values = onnx.numpy_helper.to_array(stored)
    assert values.dtype == np.float64 and np.abs(values).max() > EXACT
    assert np.any(values != values.astype(np.float32))


def test_integers_are_held_by_the_smallest_float_that_does() -> None:
    for values, dtype in (
        ([0, -EXACT, EXACT], np.float32),
        ([EXACT + 2], np.float32),
        ([3, EXACT + 1], np.float64),
        ([1 - (1 << 31)], np.float64),
        ([], np.float32),
    ):
        held = container(np.array(values, dtype=np.int64))
        assert held.dtype == dtype
        assert held.astype(np.int64).tolist() == values


def test_averages_of_large_maps_are_sums_beyond_float32(tmp_path: Path) -> None:
    net = Net(260, 256)
    weight = net.quant(net.constant(net.weights(2, 1, 1, 1)), 0.01, 8, narrow=1)
    x = net.quant(net.op("Conv", ["x", weight], kernel_shape=[1, 1]), 0.0017, 8, signed=0)
    x = net.quant(net.op("GlobalAveragePool", [x]), 0.0017, 8, signed=0)
    head(net, x, 2, 1)
    _, network, compared = accepted(net.model([1, 5]), tmp_path)
    assert compared > 0
    assert any(n.op_type == "GlobalAccPool" for n in lower(network).graph.node)


def test_accumulators_of_more_than_31_bits_are_refused(tmp_path: Path) -> None:
    told = refusal(wide(40_000, side=1), tmp_path)
    assert "expected less than 1073741824 (31 bits); use fewer bits or channels" in told

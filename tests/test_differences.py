# SPDX-License-Identifier: Apache-2.0
"""Differences, sums of several tensors, means and changes of sign."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from andpop.flows import api
from andpop.hw.graph.lowering import lower
from foreign_graphs import Net, accepted, head, refusal
from onnx import save
from test_dialects import lively, logits
from test_fully_connected import check, draw

Join = Callable[[Net, Sequence[str]], str]


def branches(net: Net, scales: Sequence[float]) -> list[str]:
    """Quantised tensors of one picture."""
    found = []
    for scale in scales:
        weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
        x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
        found.append(net.quant(x, scale, signed=0))
    return found


def taken(net: Net, x: Sequence[str]) -> str:
    return net.op("Sub", [*x])


def taken_and_quantised(net: Net, x: Sequence[str]) -> str:
    return net.quant(net.op("Sub", [*x]))


def taken_twice(net: Net, x: Sequence[str]) -> str:
    return net.quant(net.op("Sub", [x[0], net.op("Sub", [x[1], net.op("Neg", [x[2]])])]))


def summed(net: Net, x: Sequence[str]) -> str:
    return net.quant(net.op("Sum", [*x]))


def averaged(net: Net, x: Sequence[str]) -> str:
    return net.quant(net.op("Mean", [*x]))


def turned(net: Net, x: Sequence[str]) -> str:
    return net.op("Neg", [x[0]])


ODD = (0.125, 0.0931)
"""Scales without a small common step."""
CASES: tuple[tuple[Join, tuple[float, ...], list[int]], ...] = (
    (taken, (0.125, 0.125), [1, -1]),
    (taken, (0.25, 0.125), [2, -1]),
    (taken_and_quantised, (0.125, 0.125), [1, -1]),
    (taken_and_quantised, ODD, []),
    (taken_and_quantised, ODD[::-1], []),
    (taken_twice, (0.125, 0.125, 0.25), [1, -1, -2]),
    (summed, (0.125, 0.125, 0.25), [1, 1, 2]),
    (averaged, (0.125, 0.125, 0.25), [1, 1, 2]),
    (turned, (0.125,), [-1]),
)


@pytest.mark.parametrize(("join", "scales", "factors"), CASES)
def test_differences_are_sums(
    join: Join, scales: tuple[float, ...], factors: list[int], tmp_path: Path
) -> None:
    net = Net()
    head(net, join(net, branches(net, scales)), 4)
    _, network, count = accepted(net.model([1, 5]), tmp_path)
    assert count > 1000
    assert len(np.unique(logits(tmp_path / "net.onnx", lively(6, 8, 8, 1))[0])) > 8
    (added,) = [n for n in lower(network).graph.node if n.op_type == "AddStreams"]
    found = next(list(a.ints) for a in added.attribute if a.name == "factors")
    assert found == factors or not factors
    assert join is not taken_and_quantised or found[0] * found[1] < 0


def test_a_tensor_taken_from_itself_is_refused(tmp_path: Path) -> None:
    net = Net()
    (x,) = branches(net, [0.125])
    head(net, net.quant(net.op("Sub", [x, x])), 4)
    assert "takes a tensor from itself" in refusal(net.model([1, 5]), tmp_path)


def test_sums_of_thousands_of_tensors_are_refused(tmp_path: Path) -> None:
    net = Net()
    (x,) = branches(net, [0.125])
    head(net, net.op("Sum", [x] * 20_001), 4)
    assert "found sums of 20001 tensors" in refusal(net.model([1, 5]), tmp_path)


@pytest.mark.sim
def test_a_difference_is_exact_on_every_backend(tmp_path: Path) -> None:
    net = Net()
    one, other, third = branches(net, (0.125, 0.125, 0.0931))
    x = net.quant(net.op("Sub", [net.op("Sub", [one, other]), net.op("Neg", [third])]))
    head(net, net.op("Sub", [one, net.op("Neg", [x])]), 4)
    save(net.model([1, 5]), tmp_path / "net.onnx")
    api.build(tmp_path / "net.onnx", tmp_path / "build", target_cycles=400)
    check(tmp_path / "build", draw(tmp_path / "pictures", (8, 8)), 4)

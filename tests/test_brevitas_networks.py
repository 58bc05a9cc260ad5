# SPDX-License-Identifier: Apache-2.0
"""Small networks of Brevitas against PyTorch itself: what the golden model gives for the exported
file is what the network's own forward computes, in float64.

A file that is read wrongly gives the same wrong numbers on every backend; here it does not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import brevitas_zoo as zoo
import numpy as np
import onnx
import pytest
import torch
from andpop.hw.graph.builder import Boundary, boundaries
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import GoldenExecutor
from andpop.hw.graph.heads import heads_of
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.pixels import pixels_of
from andpop.hw.graph.verify import extreme_pictures, verify
from comparisons import Comparisons
from foreign_graphs import refusal
from torch import nn

NEAR = 0.01
"""Steps of an output that float64 may be off."""


def cleaned(net: nn.Module, shape: tuple[int, ...], path: Path, how: str) -> onnx.ModelProto:
    zoo.export(net, torch.rand(1, *shape), path, how)
    return clean(load(path).model)


def forward(net: nn.Module, fed: np.ndarray, shape: tuple[int, ...], rows: bool) -> np.ndarray:
    """The network's own numbers for what it is fed, (N, C, H, W), in float64.

    ``rows``: it has channels behind the pixels.
    """
    given = torch.from_numpy(np.moveaxis(fed, 1, -1).copy() if rows else fed).reshape(-1, *shape)
    with torch.no_grad():
        found = copy.deepcopy(net).double()(given)
    values = np.asarray(getattr(found, "value", found))
    return np.moveaxis(values, -1, 1) if rows else values


def steps(boundary: Boundary, values: np.ndarray) -> np.ndarray:
    """Values (N, C[, [H,] W]) in steps of the stream, as it has them."""
    values = values[:, :, None] if values.ndim == 3 else values
    return replace(boundary, scale=boundary.scale / 1000, scales=[]).nearest(values) / 1000


CASES = [
    *((name, "qonnx") for name in zoo.NETWORKS),
    *((name, "qcdq") for name in zoo.ALSO_QCDQ),
]


@pytest.mark.parametrize(("name", "how"), CASES)
def test_is_what_pytorch_computes(
    name: str, how: str, tmp_path: Path, compared: Comparisons
) -> None:
    net, shape = zoo.network(name)
    network = cleaned(net, shape, tmp_path / "net.onnx", how)
    assert verify(network, lower(network), noise=1) > 0
    graph = lower(network, heads={value.name: "raw" for value in network.graph.output})
    golden = GoldenExecutor(graph)
    pictures = extreme_pictures(*golden.shapes[golden.input][1:], noise=8)
    ((_, ours),) = golden.chunks(pictures)
    fed = pixels_of(network).feed(pictures)
    (head,) = heads_of(graph.model)
    boundary = next(b for b in boundaries(graph) if b.reference == head.name)
    theirs = steps(boundary, forward(net, fed, shape, name.startswith("rows")))
    compared.arrays(ours[head.tensor], np.rint(theirs).astype(np.int64), f"{name}, {how}")
    assert np.abs(theirs - ours[head.tensor]).max() < NEAR
    assert len(np.unique(theirs)) > 3


def test_interpolated_codes_are_rounded(tmp_path: Path) -> None:
    """PyTorch's own sums of four products fall to either side of a half: they are no judge here."""
    net = zoo.settled(zoo.interpolated(), zoo.MAP)
    network = cleaned(net, zoo.MAP, tmp_path / "net.onnx", "qonnx")
    assert "Round" not in {node.op_type for node in network.graph.node}
    assert verify(network, lower(network), noise=2) > 0


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (zoo.squeeze_and_excite, "Mul (Mul): takes "),
        (zoo.larger_of_two, "Max (Max): takes "),
        (zoo.relu_of_1_bit, "gives +1 always, for the Relu"),
        (zoo.float_weights, "found weights that are not integers and that no quantiser makes"),
        (zoo.tanh_at_the_end, "ends the graph, expected the logits of a Gemm or Conv, or a quant"),
        (zoo.some_channels, "else pick channels by a 1x1 convolution"),
    ],
)
def test_refusals_say_what_to_do(make: Callable[[], nn.Module], why: str, tmp_path: Path) -> None:
    net = zoo.settled(make(), (1, 8, 8))
    zoo.export(net, torch.rand(1, 1, 8, 8), tmp_path / "net.onnx", "qonnx")
    told = refusal(onnx.load(tmp_path / "net.onnx"), tmp_path)
    assert why in told

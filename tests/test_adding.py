# SPDX-License-Identifier: Apache-2.0
"""Sums of quantised tensors: factors in place of scales, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.hw.graph.clean import clean
from andpop.hw.graph.factors import common_step, near_factors
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.verify import verify
from andpop.hw.kernels.base import node_attributes
from andpop.sim.cases import Case
from foreign_graphs import Net, accepted, head, refusal, save, sign
from kernel_cases import build_op, cases_of, golden_of
from qonnx.core.modelwrapper import ModelWrapper

Term = tuple[int, int, float]
"""Bits, whether signed, scale of a quantiser."""


def branch(net: Net, term: Term) -> str:
    """3x3 convolution, normalisation, a quantiser: 4 channels of 6x6."""
    bits, signed, scale = term
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
    x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
    return net.quant(x, scale, bits, signed)


def total(net: Net, terms: Sequence[Term]) -> str:
    x = branch(net, terms[0])
    for term in terms[1:]:
        x = net.op("Add", [branch(net, term), x])
    return x


def lowered(proto: onnx.ModelProto, folder: Path) -> ModelWrapper:
    network = clean(load(save(proto, folder)).model)
    graph = lower(network)
    assert verify(network, graph, noise=2)
    return graph


def sums(graph: ModelWrapper) -> list[tuple[list[int], str]]:
    """Factors and type of every sum."""
    found = [node_attributes(n) for n in graph.graph.node if n.op_type == "AddStreams"]
    return [(a["factors"], a["outputDataType"]) for a in found]


@pytest.mark.parametrize(
    ("terms", "factors", "datatype"),
    [
        ([(4, 0, 0.125), (4, 0, 0.125)], [1, 1], "UINT5"),
        ([(4, 1, 0.3), (4, 1, 0.3)], [1, 1], "INT5"),
        ([(2, 0, 0.5), (8, 1, 0.01)], None, ""),
        ([(8, 0, 0.01), (8, 1, 0.01)], [1, 1], "INT10"),
        ([(4, 0, 0.25), (3, 1, 0.0625)], [1, 4], "INT7"),
        ([(4, 1, 0.11), (4, 0, 0.17)], None, ""),
        ([(3, 1, 0.2), (3, 1, 0.2), (2, 0, 0.2)], [1, 1, 1], "INT5"),
        ([(3, 1, 0.21), (3, 1, 0.13), (2, 0, 0.34)], None, ""),
    ],
)
@pytest.mark.parametrize("norm", [False, True])
def test_a_sum_is_exact(
    terms: list[Term], factors: list[int] | None, datatype: str, norm: bool, tmp_path: Path
) -> None:
    """Behind it a ReLU, or one falling and rising factor per channel."""
    net = Net(seed=len(terms))
    x = total(net, terms)
    if norm:
        x = net.op("Mul", [x, net.constant([[[0.7]], [[-1.3]], [[0.9]], [[-0.4]]])])
    else:
        x = net.op("Relu", [x])
    head(net, net.quant(x, 0.21, signed=int(norm)), 4)
    ((found, wide),) = sums(lowered(net.model([1, 5]), tmp_path))
    assert factors is None or (found, wide) == (factors, datatype)
    assert len(found) == len(terms)
    assert max(found) < 1 << 16


def test_a_sum_of_eight_bits_of_two_scales_in_pairs_of_onnx(tmp_path: Path) -> None:
    """As ONNX Runtime quantises a residual network statically."""
    net = Net()
    branches = []
    for scale in (0.0131, 0.0217):
        weight = net.qdq(net.constant(net.weights(4, 1, 3, 3)), np.full(4, 0.01), (-127, 127), 0)
        x = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
        branches.append(net.qdq(x, scale, (-128, 127)))
    x = net.qdq(net.op("Relu", [net.op("Add", branches)]), 0.0173, (0, 255))
    weight = net.qdq(net.constant(net.weights(5, 4, 6, 6)), ends=(-7, 7))
    net.op("Flatten", [net.op("Conv", [x, weight], kernel_shape=[6, 6])], axis=1)
    ((found, _),) = sums(lowered(net.model([1, 5]), tmp_path))
    assert max(found) < 1024


def test_a_sum_may_be_read_twice_and_decide_a_sign(tmp_path: Path) -> None:
    net = Net()
    x = total(net, [(4, 1, 0.125), (4, 0, 0.125)])
    x = net.op("Add", [x, net.quant(net.norm(x, 4), 0.125)])
    left, right = sign(net, net.norm(x, 4)), net.quant(x, 0.5, signed=0)
    weight = sign(net, net.constant(net.weights(4, 4, 1, 1)))
    found = [net.op("Conv", [part, weight], kernel_shape=[1, 1]) for part in (left, right)]
    quantised = [net.quant(net.norm(part, 4), 0.3) for part in found]
    head(net, net.op("Add", [*quantised]), 4)
    graph = lowered(net.model([1, 5]), tmp_path)
    assert [wide for _, wide in sums(graph)] == ["INT6", "INT7", "INT5"]


def test_a_sum_of_unlike_scales_may_have_two_quantisers(tmp_path: Path) -> None:
    net = Net()
    x = total(net, [(4, 1, 0.11), (3, 0, 0.17)])
    left, right = net.quant(net.norm(x, 4), 0.125), net.quant(net.op("Relu", [x]), 0.125, 2, 0)
    head(net, net.op("Add", [left, right]), 4)
    assert len(sums(lowered(net.model([1, 5]), tmp_path))) == 3


def test_a_tensor_twice_is_its_codes_of_another_scale(tmp_path: Path) -> None:
    net = Net()
    x = branch(net, (4, 1, 0.125))
    head(net, net.quant(net.op("Add", [x, x]), 0.3), 4)
    assert sums(lowered(net.model([1, 5]), tmp_path)) == []


def test_factors_are_the_smallest_that_serve() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        sizes, scales = rng.integers(3, 9, 2), rng.uniform(0.1, 1.0, 2)
        values = np.add.outer(*(np.arange(n) * s for n, s in zip(sizes, scales, strict=True)))
        codes = np.rint(values / rng.uniform(0.1, 0.6))[None].astype(np.int64)
        found = near_factors(codes, [Fraction(s) for s in scales])
        assert found is not None
        serving = [
            pair for pair in itertools.product(range(1, 40), repeat=2) if separates(codes[0], pair)
        ]
        assert tuple(found) in serving
        assert tuple(found) == min(serving, key=lambda pair: (max(pair), min(pair)))


def test_factors_are_taken_only_where_no_sum_is_on_both_sides() -> None:
    """Three terms: 2:1:1 would put (0, 1, 1) and (1, 0, 0), whose codes differ, on one sum."""
    codes = np.zeros((2, 2, 2), dtype=np.int64)
    codes[1] = 1
    found = near_factors(codes[None], [Fraction(2), Fraction(1), Fraction(1)])
    assert found is not None
    assert found[1] + found[2] < found[0]
    codes[0, 1, 1] = codes[0, 0, 1] = 1
    assert near_factors(codes[None], [Fraction(1)] * 3) is None


def separates(codes: np.ndarray, factors: tuple[int, ...]) -> bool:
    """Whether codes are a rising function of the sums, by definition."""
    total = np.add.outer(*(np.arange(n) * f for n, f in zip(codes.shape, factors, strict=True)))
    order = np.argsort(total.reshape(-1), kind="stable")
    ordered, sums = codes.reshape(-1)[order], total.reshape(-1)[order]
    return bool(
        (np.diff(ordered) >= 0).all() and ((np.diff(ordered) == 0) | (np.diff(sums) > 0)).all()
    )


@pytest.mark.parametrize("case", cases_of("add_streams"))
def test_sums_reach_what_all_codes_together_make(case: Case) -> None:
    built = build_op(case)
    found = [golden_of("add_streams", frame, **case.attrs)[0] for frame in case.worst_frames()]
    ends = min(int(y.min()) for y in found), max(int(y.max()) for y in found)
    assert built.op.reached(built.model) == ends


def test_a_common_step_is_the_largest() -> None:
    assert common_step([Fraction(3, 4), Fraction(1, 2)]) == ([3, 2], Fraction(1, 4))


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([(4, 0, 0.11), (4, 0, 0.17)], "and not only quantisers of at most 8 bits read the sum"),
        ([(8, 1, 0.1), (8, 1, 0.07), (8, 1, 0.03)], "256 x 256 x 256 codes whose scales have no"),
    ],
)
def test_unlike_scales_are_refused(terms: list[Term], expected: str, tmp_path: Path) -> None:
    net = Net()
    x = total(net, terms)
    if len(terms) == 3:
        x = net.quant(x, 0.3)
    head(net, x, 4)
    text = refusal(net.model([1, 5]), tmp_path)
    assert expected in text
    assert "use one scale for all quantisers in front of the add" in text


def test_signs_are_added_as_numbers(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Add", [sign(net, branch(net, (4, 1, 0.1))), branch(net, (4, 1, 0.1))])
    head(net, net.quant(x, 0.3), 4)
    _, network, values = accepted(net.model([1, 5]), tmp_path)
    graph = lower(network)
    (added,) = (n for n in graph.graph.node if n.op_type == "AddStreams")
    assert "INT2" in [graph.get_tensor_datatype(name).name for name in added.input]
    assert values > 1000


def test_an_addend_that_is_not_quantised_is_refused(tmp_path: Path) -> None:
    net = Net()
    weight = net.quant(net.constant(net.weights(4, 1, 3, 3)), narrow=1)
    plain = net.norm(net.op("Conv", ["x", weight], kernel_shape=[3, 3]), 4)
    head(net, net.quant(net.op("Add", [plain, branch(net, (4, 1, 0.1))])), 4)
    assert (
        "Add_7 (Add): adds t2, the result of BatchNormalization_2, expected a quantised tensor: "
        "codes times one scale; quantise every addend, and use one scale for all quantisers in "
        "front of the add"
    ) in refusal(net.model([1, 5]), tmp_path)

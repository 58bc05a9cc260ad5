# SPDX-License-Identifier: Apache-2.0
"""Logits with factors and offsets of their own: weight scales per output and normalisations behind
the last product, whose class LabelSelect picks by integers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from andpop.flows import api
from andpop.hw.graph.builder import boundaries
from andpop.hw.graph.clean import clean
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.scores import Label, _agree, _floors, _points, integer_scores
from andpop.hw.graph.verify import verify
from andpop.hw.kernels.label_select.cases import FULL
from andpop.hw.kernels.label_select.golden import run as golden
from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from cpu_engine import engine_of
from foreign_graphs import Net, accepted
from foreign_networks import export
from test_cpu import case_graph
from test_fully_connected import check, draw
from torch import nn

PER_OUTPUT = {"weight_bit_width": 4, "weight_scaling_per_output_channel": True}
FEATURES = 4 * 14 * 14


def network(*tail: nn.Module) -> nn.Module:
    """A convolution of 4 bits, then ``tail`` on a map of 4 channels, 14x14."""
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8),
        qnn.QuantConv2d(1, 4, 3, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(4),
        qnn.QuantReLU(bit_width=4),
        *tail,
    )


def per_output() -> nn.Module:
    return network(nn.Flatten(), qnn.QuantLinear(FEATURES, 10, bias=True, **PER_OUTPUT))


def normalised() -> nn.Module:
    """Half of the factors are negative."""
    last = qnn.QuantLinear(FEATURES, 10, bias=False, weight_bit_width=4)
    return network(nn.Flatten(), last, nn.BatchNorm1d(10), nn.Softmax(1))


def signs() -> nn.Module:
    """The product of 1-bit tensors, with a bias."""
    last = qnn.QuantLinear(FEATURES, 10, bias=True, weight_quant=SignedBinaryWeightPerTensorConst)
    sign = qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst)
    return network(nn.BatchNorm2d(4), sign, nn.Flatten(), last)


def classes_of_pixels() -> nn.Module:
    return network(qnn.QuantConv2d(4, 5, 1, bias=True, **PER_OUTPUT))


@pytest.mark.sim
@pytest.mark.parametrize("make", [per_output, normalised, classes_of_pixels])
def test_the_class_is_exact_on_every_backend(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(17)
    file = export(make(), torch.rand(64, 1, 16, 16), tmp_path / "net.onnx")
    api.build(file, tmp_path / "build", target_cycles=4096)
    lowered = onnx.load(tmp_path / "build" / "lowered.onnx")
    (select,) = (n for n in lowered.graph.node if n.op_type.startswith("LabelSelect"))
    assert len(select.input) == 3
    check(tmp_path / "build", draw(tmp_path / "pictures", (16, 16), 6), 6)


@pytest.mark.parametrize(
    "tail",
    [
        [("Add", "row"), ("Mul", "row")],
        [("Div", "row"), ("Sub", "row")],
        [("norm", ""), ("Mul", "number"), ("Add", "row")],
        [("Mul", "negative"), ("norm", "")],
    ],
)
def test_tails_of_logits_are_exact(tail: list[tuple[str, str]], tmp_path: Path) -> None:
    """Offsets and factors behind one another, of each logit, of all, of negative ones."""
    net = Net(4, 4, 2, 5)
    codes = net.quant(net.op("Conv", ["x", net.quant(net.constant(net.weights(3, 2, 3, 3)))]))
    features = net.op("Flatten", [codes], axis=1)
    name = net.op("Gemm", [features, net.quant(net.constant(net.weights(6, 12)))], transB=1)
    for op, kind in tail:
        row = net.rng.uniform(0.5, 2.0, {"row": (6,)}.get(kind, ()))
        number = net.constant(-row if kind == "negative" else row)
        name = net.norm(name, 6) if op == "norm" else net.op(op, [name, number])
    _, cleaned, _ = accepted(net.model([1, 6], output_name=name), tmp_path)
    graph = lower(cleaned)
    assert len(graph.graph.node[-1].input) == 3
    assert verify(cleaned, graph, noise=60) > 60


def test_a_bias_of_signs_is_exact(tmp_path: Path) -> None:
    torch.manual_seed(19)
    file = export(signs(), torch.rand(64, 1, 16, 16), tmp_path / "net.onnx")
    api.build(file, tmp_path / "build", target_cycles=4096, until="pack")
    images = draw(tmp_path / "pictures", (16, 16), 6)
    result = api.compare(tmp_path / "build", images, ("qonnx", "golden", "cpu"))
    assert result["values_differing"] == 0
    assert result["values_compared"] > 6 * FEATURES


def test_integers_of_each_label_leave_as_they_are(tmp_path: Path) -> None:
    """Asked for a map, a boundary says what the integers of each channel stand for."""
    torch.manual_seed(17)
    file = export(classes_of_pixels(), torch.rand(64, 1, 16, 16), tmp_path / "net.onnx")
    network = clean(onnx.load(file))
    graph = lower(network, heads={network.graph.output[0].name: "map"})
    assert len(set(boundaries(graph)[-1].scales)) == 5
    assert verify(network, graph) > 5 * 14 * 14


def test_offsets_of_more_than_64_bits_equal_golden() -> None:
    (case,) = (c for c in FULL if c.name.endswith("_o99"))
    model, (name,), (output,) = case_graph(case)
    (frame,) = case.random_frame(np.random.default_rng(0))
    expected = golden([frame, *case.make_initializers()], case.attrs)
    found = engine_of(model).intermediates({name: frame})
    assert np.array_equal(found[output], expected[0])


def number(rng: random.Random, size: int) -> Fraction:
    return Fraction(rng.randrange(-size, size + 1), rng.randrange(1, 6))


def label(rng: random.Random) -> Label:
    low = rng.randrange(-9, 3)
    return Label(number(rng, 12), number(rng, 30), low, low + rng.randrange(15))


def in_front(first: Label, x: int, second: Label, y: int) -> bool:
    return first.factor * x + first.offset >= second.factor * y + second.offset


def test_points_below_lines_are_counted_as_one_by_one() -> None:
    rng = random.Random(1)
    for _ in range(1000):
        count, below = rng.randrange(30), rng.randrange(1, 40)
        step, start = rng.randrange(90), rng.randrange(90)
        expected = sum((step * k + start) // below for k in range(count))
        assert _floors(count, below, step, start) == expected
        line = number(rng, 40), number(rng, 90)
        low, bottom = rng.randrange(-12, 5), rng.randrange(-20, 9)
        high, top = low + rng.randrange(20), bottom + rng.randrange(20)
        expected = sum(
            y <= line[0] * x + line[1] for x in range(low, high + 1) for y in range(bottom, top + 1)
        )
        assert _points(line, low, high, bottom, top) == expected


def test_two_orders_are_equal_where_every_pair_of_values_says_so() -> None:
    rng = random.Random(2)
    found = {True: 0, False: 0}
    while min(found.values()) < 300:
        first, second = label(rng), label(rng)
        times = rng.choice([1, 2, 3, 5, 8])
        a, b = (
            Label(
                Fraction(round(x.factor * times)), Fraction(round(x.offset * times)), x.low, x.high
            )
            for x in (first, second)
        )
        if any(bool(x.factor) != bool(y.factor) for x, y in ((first, a), (second, b))):
            continue
        expected = all(
            in_front(first, x, second, y) == in_front(a, x, b, y)
            for x in range(first.low, first.high + 1)
            for y in range(second.low, second.high + 1)
        )
        assert _agree(first, second, a, b) == expected
        found[expected] += 1


def test_integers_order_all_labels_as_they_are() -> None:
    rng = random.Random(3)
    for _ in range(200):
        labels = [
            replace(label(rng), factor=Fraction(rng.randrange(1, 2000), rng.randrange(1, 2000)))
            for _ in range(3)
        ]
        scores = integer_scores(labels)
        assert scores is not None
        theirs = [
            Label(Fraction(m), Fraction(b), x.low, x.high)
            for m, b, x in zip(scores.factors, scores.offsets, labels, strict=True)
        ]
        for i, j in ((0, 1), (0, 2), (1, 2)):
            for x in range(labels[i].low, labels[i].high + 1):
                for y in range(labels[j].low, labels[j].high + 1):
                    expected = in_front(labels[i], x, labels[j], y)
                    assert in_front(theirs[i], x, theirs[j], y) == expected


def test_irrational_factors_take_as_few_bits_as_serve() -> None:
    labels = [Label(Fraction(2**0.5), Fraction(), 0, 9), Label(Fraction(1), Fraction(0.3), 0, 9)]
    scores = integer_scores(labels)
    assert scores is not None
    assert max(scores.factors) == 1 << 8


def test_what_no_integers_serve_is_none() -> None:
    labels = [
        Label(Fraction(1), Fraction(), 0, 1 << 20),
        Label(Fraction(1, 3**80), Fraction(1, 7), 0, 1 << 20),
    ]
    assert integer_scores(labels) is None

# SPDX-License-Identifier: Apache-2.0
"""Thresholds in equal steps as a product, a sum and a shift: exact, and where that is cheaper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from andpop.hw.boards import DEFAULT_BOARD
from andpop.hw.graph import executor
from andpop.hw.graph.fit import Fit, Fitting, Shares
from andpop.hw.graph.folding import folding_of
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.ops import op_of
from andpop.hw.kernels.requant.replace import instead, reached
from andpop.quant.affine_steps import MOST_INPUT_BITS, Affine, affine_of, equal
from andpop.quant.grid import IntArray
from andpop.sim.cases import Case
from cpu_engine import assert_equal, engine_of, isa_fixture
from dataflow_graphs import GraphBuilder
from kernel_cases import cases_of
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

assert isa_fixture


def line(
    rng: np.random.Generator, channels: int, count: int, width: float, low: int, high: int
) -> IntArray:
    """Thresholds (C, n) where a line of a random step and start reaches the next code."""
    step = width * np.exp(rng.uniform(-1, 1, (channels, 1)))
    start = rng.uniform(low, high, (channels, 1))
    return np.ceil(start + step * np.arange(count)).astype(np.int64)


def codes(thresholds: IntArray, steps: IntArray, base: IntArray, x: IntArray) -> IntArray:
    """Codes (V, C) of inputs (V,), by counting."""
    return base + ((x[:, None, None] >= thresholds) * steps).sum(axis=2)


@pytest.mark.parametrize("count", [1, 3, 15, 255])
@pytest.mark.parametrize("width", [0.4, 3.0, 40.0])
@pytest.mark.parametrize("seed", range(4))
def test_every_input_has_its_code(count: int, width: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = -int(rng.integers(1, 4000)), int(rng.integers(0, 4000))
    thresholds = line(rng, 7, count, width, low, high)
    falls = np.arange(7) % 3 == 1
    steps = np.where(falls[:, None], -1, 1) + 0 * thresholds
    base = np.where(falls, count, 0) - int(rng.integers(0, 200))
    # Constant: all reached, none reached.
    thresholds[3], thresholds[4] = low, high + 1
    order = rng.permuted(np.arange(count))
    found = affine_of(thresholds[:, order], steps, base, low, high)
    assert found is not None
    x = np.arange(low, high + 1)
    assert np.array_equal(found.codes(x[:, None]), codes(thresholds, steps, base, x))


def test_accumulators_of_25_bits_have_their_codes() -> None:
    rng = np.random.default_rng(0)
    low, high = -(1 << 24), (1 << 24) - 1
    thresholds = line(rng, 16, 255, 9000.0, low // 16, high // 16)
    steps, base = np.ones_like(thresholds), np.full(16, -128)
    found = affine_of(thresholds, steps, base, low, high)
    assert found is not None and found.shift > 30
    beside = np.concatenate([thresholds - 1, thresholds], axis=1).clip(low, high)
    for c in range(16):
        x = np.append(beside[c], [low, high])
        expected = codes(thresholds[[c]], steps[[c]], base[[c]], x)[:, 0]
        assert np.array_equal(found.codes(x[:, None])[:, c], expected)


def solutions(thresholds: IntArray, base: int, low: int, high: int, shift: int) -> bool:
    """Whether any factor and summand give the codes of one channel, by trying all."""
    x = np.arange(low, high + 1)
    expected = base + (x[:, None] >= thresholds).sum(axis=1)
    factors = np.arange(0, (2 << shift) + 1)[:, None, None]
    summands = np.arange(-(200 << shift) // 4, (200 << shift) // 4)[:, None]
    got = ((x * factors + summands) >> shift).clip(expected.min(), expected.max())
    return bool((got == expected).all(axis=2).any())


@pytest.mark.parametrize("seed", range(12))
def test_no_smaller_shift_would_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = -12, 13
    thresholds = line(rng, 1, 6, 3.0, low, high)
    found = affine_of(thresholds, np.ones_like(thresholds), np.zeros(1, dtype=int), low, high)
    assert found is not None
    if found.shift and found.shift < 6:
        assert not solutions(thresholds[0], 0, low, high, found.shift - 1)


@pytest.mark.parametrize(
    "thresholds",
    [
        [-90, -80, -10, 70, 75],  # no line
        [0, 10, 20, 31, 40, 50, 59, 70],  # none by a hair
        [10, 10, 20, 20, 30, 31],
    ],
)
def test_what_is_no_line_stays(thresholds: list[int]) -> None:
    at = np.array([thresholds])
    assert affine_of(at, np.ones_like(at), np.zeros(1, dtype=int), -200, 200) is None


def test_a_channel_that_rises_and_falls_stays() -> None:
    at, steps = np.array([[0, 10, 20]]), np.array([[1, 1, -1]])
    assert affine_of(at, steps, np.zeros(1, dtype=int), -50, 50) is None
    # Unless it falls where no input comes.
    found = affine_of(at, steps, np.zeros(1, dtype=int), -50, 15)
    assert found is not None and found.last == 2


def test_a_channel_may_end_below_others() -> None:
    # The last step of the first one is never reached: the shift must leave room for that.
    at = np.array([[-19, -9, 1, 12], [-30, -29, -28, -27]])
    steps, base = np.ones_like(at), np.zeros(2, dtype=np.int64)
    found = affine_of(at, steps, base, -40, 11)
    assert found is not None
    x = np.arange(-40, 12)
    assert np.array_equal(found.codes(x[:, None]), codes(at, steps, base, x))


def test_wider_inputs_stay() -> None:
    at = np.array([[0, 10, 20]])
    ends = -(1 << 25), 1 << 25
    assert affine_of(at, np.ones_like(at), np.zeros(1, dtype=int), *ends) is None


def test_a_code_beside_a_threshold_is_seen() -> None:
    at = np.array([[-20, -10, 0, 10, 20, 30]])
    steps, base = np.ones_like(at), np.zeros(1, dtype=int)
    found = affine_of(at, steps, base, -100, 100)
    assert found is not None and equal(found, at, steps, base, -100, 100)
    off = found._replace(summands=found.summands - (1 << found.shift) // 5)
    assert not equal(off, at, steps, base, -100, 100)
    last = found._replace(last=found.last - 1)
    assert not equal(last, at, steps, base, -100, 100)


def network(thresholds: IntArray, target: str, base: int, *, falls: bool = False) -> ModelWrapper:
    """A product and a quantiser of it, then a class."""
    g = GraphBuilder(1)
    channels, count = thresholds.shape
    x = g.int_mvu(g.windows(g.input((1, 6, 6, 3), "UINT8"), [3, 3], [1, 1]), channels)
    if falls:
        steps = -np.ones_like(thresholds)
        y = g.signed_thresholds(x, thresholds, steps, np.full(channels, base + count), target)
    else:
        (y,) = g.node(
            "Thresholding", [x, g.constant(thresholds)], [(g.shapes[x], target)],
            NumChannels=channels, PE=1, numSteps=count, numInputVectors=g.vectors(x),
            inputDataType=g.types[x], weightDataType="INT24", outputDataType=target, ActVal=base,
        )  # fmt: skip
    y = g.int_mvu(y, 4)
    return specialise(ModelWrapper(g.model([g.label(g.global_pool(y))])))


def eight_bits(channels: int = 16) -> IntArray:
    return line(np.random.default_rng(3), channels, 255, 25.0, -3000, 3000)


def fitted(model: ModelWrapper, target: int = 16 * 16) -> Fit:
    return Fitting(model, DEFAULT_BOARD, Shares()).at(target)


def quantisers(model: ModelWrapper) -> list[onnx.NodeProto]:
    """The nodes behind the first product."""
    return [n for n in model.graph.node if n.op_type.startswith(("Requant", "Thres", "Signed"))]


@pytest.mark.parametrize("falls", [False, True])
def test_dear_thresholds_are_replaced_and_tensors_stay(falls: bool) -> None:
    lowered = network(eight_bits(), "INT8", -128, falls=falls)
    model = fitted(lowered).model
    (before,), (after,) = quantisers(lowered), quantisers(model)
    assert after.op_type == "Requant_rtl"
    assert (after.name, list(after.output)) == (before.name, list(before.output))
    assert op_of(after).stated().price < op_of(before).stated().price
    assert set(before.input[1:]).isdisjoint(t.name for t in model.graph.initializer)
    pictures = np.random.default_rng(0).integers(0, 256, (9, 6, 6, 3), dtype=np.uint8)
    pictures[0], pictures[1] = 0, 255
    expected, got = (executor.run(m, pictures, "all") for m in (lowered, model))
    assert assert_equal(expected, got) > 0
    assert len(np.unique(expected[before.output[0]])) > 50


def test_a_folding_made_with_it_may_be_given_again() -> None:
    lowered = network(eight_bits(), "INT8", -128)
    first = fitted(lowered)
    again = Fitting(lowered, DEFAULT_BOARD, Shares()).given(folding_of(first.model))
    assert again.model.model.SerializeToString() == first.model.model.SerializeToString()


def test_what_somebody_asks_of_thresholds_keeps_them() -> None:
    lowered = network(eight_bits(), "INT8", -128, falls=True)
    (node,) = quantisers(lowered)
    asked = {**folding_of(fitted(lowered).model), node.name: {"PE": 1, "implementation": "search"}}
    model = Fitting(lowered, DEFAULT_BOARD, Shares()).given(asked).model
    assert quantisers(model)[0].op_type == "SignedThresholding_rtl"


@pytest.mark.parametrize("bits", [25, 26])
def test_a_product_is_no_wider_than_its_multiplier(bits: int) -> None:
    """The declared width of a stream counts, also where less comes."""
    lowered = network(eight_bits(), "INT8", -128)
    (node,) = quantisers(lowered)
    for name, where in (("outputDataType", lowered.find_producer(node.input[0])),
                        ("inputDataType", node)):  # fmt: skip
        op_of(where).set_nodeattr(name, f"INT{bits}")
    lowered.set_tensor_datatype(node.input[0], DataType[f"INT{bits}"])
    assert (instead(lowered, node) is not None) == (bits <= MOST_INPUT_BITS)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_cheap_thresholds_stay(count: int) -> None:
    thresholds = line(np.random.default_rng(3), 16, count, 900.0, -2000, 0)
    model = fitted(network(thresholds, "UINT3" if count > 1 else "BINARY", 0)).model
    assert quantisers(model)[0].op_type == "Thresholding_rtl"


def test_what_reaches_a_quantiser_follows_from_the_weights() -> None:
    lowered = network(eight_bits(), "INT8", -128)
    (node,) = quantisers(lowered)
    producer = lowered.find_producer(node.input[0])
    ends = reached(lowered, node.input[0])
    datatype = lowered.get_tensor_datatype(node.input[0])
    assert ends == op_of(producer).bounds(lowered)
    assert datatype.min() <= ends[0] < 0 < ends[1] <= datatype.max()
    assert reached(lowered, lowered.graph.input[0].name) == (0, 255)


def one_step(values: Affine, source: str, target: str, shape: Sequence[int]) -> onnx.ModelProto:
    """A graph of one Requant."""
    from andpop.hw.kernels.requant.golden import params

    g = GraphBuilder()
    x = g.input(shape, source)
    (y,) = g.node(
        "Requant", [x, g.constant(params(values.factors, values.summands))], [(shape, target)],
        NumChannels=shape[-1], PE=1, numInputVectors=list(shape[:-1]), inputDataType=source,
        outputDataType=target, factorBits=35, summandBits=52, shift=values.shift,
        first=values.first, last=values.last,
    )  # fmt: skip
    return g.model([y])


@pytest.mark.parametrize("case", cases_of("requant"))
def test_the_cpu_gives_the_codes_of_the_golden(case: Case, isa: str) -> None:
    from andpop.hw.kernels.requant.golden import constants

    shift, first, last = (int(case.attrs[name]) for name in ("shift", "first", "last"))
    values = Affine(*constants(case.make_initializers()[0]), shift, first, last)
    operand = case.operands[0]
    model = one_step(values, operand.datatype, case.output_types[0], operand.shape)
    engine = engine_of(model, isa)
    assert "affine" in {step.op for step in engine.plan.steps}
    rng = np.random.default_rng(2)
    frames = [*(f[0] for f in case.worst_frames()), *(case.random_frame(rng)[0] for _ in range(3))]
    for frame in frames:
        got = engine.intermediates(frame)[model.graph.output[0].name]
        assert np.array_equal(got, values.codes(frame).reshape(got.shape))


@pytest.mark.parametrize("falls", [False, True])
def test_the_cpu_takes_a_product_for_many_thresholds(falls: bool, isa: str) -> None:
    model = network(eight_bits(13), "INT8", -128, falls=falls)
    engine = engine_of(model.model, isa)
    assert [s.op for s in engine.plan.steps].count("affine") == 1
    pictures = np.random.default_rng(0).integers(0, 256, (9, 6, 6, 3), dtype=np.uint8)
    pictures[0], pictures[1] = 0, 255
    got = engine.intermediates(pictures)
    assert assert_equal(executor.run(model, pictures, "all"), got) > 0

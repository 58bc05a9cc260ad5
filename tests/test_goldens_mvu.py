# SPDX-License-Identifier: Apache-2.0
"""Goldens, weight order, widths and refusals of the matrix-vector units and the epilogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.epilogue import cases as epilogue_cases
from andpop.hw.kernels.epilogue import golden as epilogue_golden
from andpop.hw.kernels.int_mvu import cases as int_cases
from andpop.hw.kernels.int_mvu import golden as int_golden
from andpop.hw.kernels.memory import rom_cost
from andpop.hw.kernels.mvu import weight_words
from andpop.hw.kernels.xnor_mvu import cases as xnor_cases
from andpop.hw.kernels.xnor_mvu import golden as xnor_golden
from andpop.quant.grid import EpilogueFormat, epilogue, signed_width
from andpop.sim.cases import Case
from finn.transformation.fpgadataflow.minimize_accumulator_width import MinimizeAccumulatorWidth
from kernel_cases import build_op
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.custom_op.registry import getCustomOp


def as_word(bits: Sequence[int]) -> int:
    """Bits as one integer, bit 0 first."""
    return sum(int(b) << i for i, b in enumerate(bits))


def floor_half(v: int, shift: int) -> int:
    """floor(v / 2**shift + 1/2) with Python's unbounded integers."""
    return (2 * v + (1 << shift)) // (2 << shift)


def clamp(v: int, bits: int) -> int:
    """Saturate to two's complement."""
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, v))


def epilogue_by_hand(acc: int, shortcut: int, params: Sequence[int], a: dict[str, Any]) -> int:
    """The epilogue of one value in unbounded integers, written from its specification."""
    m, b, zeta, slope, eta = params
    if a["accShift"]:
        acc = clamp(floor_half(acc, a["accShift"]), a["accBits"])
    total = acc * m + b + (shortcut * 2 ** a["shortcutShift"])
    u = clamp(floor_half(total, a["preShift"]), a["preBits"]) - zeta
    bent = u if u >= 0 else u * slope // 2 ** a["slopeShift"]
    return clamp(floor_half(bent + eta, a["outShift"]), int(a["outputDataType"][3:]))


@pytest.mark.parametrize("case", xnor_cases.SMOKE + xnor_cases.FULL, ids=lambda c: c.name)
def test_xnor_golden_counts_agreeing_bits(case: Case) -> None:
    (w,) = case.make_initializers()
    mw, mh = w.shape
    for (x,) in [case.random_frame(np.random.default_rng(7)), *case.worst_frames()]:
        (y,) = xnor_golden.run([x, w], case.attrs)
        for vector, sums in zip(x.reshape(-1, mw), y.reshape(-1, mh), strict=True):
            for column, got in zip(w.T, sums, strict=True):
                agree = ~(as_word(vector) ^ as_word(column)) & ((1 << mw) - 1)
                assert got == 2 * agree.bit_count() - mw


def test_xnor_worst_cases_reach_both_ends() -> None:
    case = xnor_cases.SMOKE[0]
    (w,) = case.make_initializers()
    values = [xnor_golden.run([x, w], case.attrs)[0] for (x,) in case.worst_frames()]
    assert max(v.max() for v in values) == case.attrs["MW"]
    assert min(v.min() for v in values) == -case.attrs["MW"]


@pytest.mark.parametrize("case", int_cases.SMOKE + int_cases.FULL, ids=lambda c: c.name)
def test_int_golden_equals_unbounded_integers(case: Case) -> None:
    w, *bias = case.make_initializers()
    for (x,) in [case.random_frame(np.random.default_rng(7)), *case.worst_frames()]:
        (y,) = int_golden.run([x, w, *bias], case.attrs)
        exact = x.astype(object) @ w.astype(object)
        if bias:
            exact = exact + bias[0].astype(object)
        assert y.dtype == np.int64
        assert (exact == y).all()


@pytest.mark.parametrize("case", epilogue_cases.SMOKE + epilogue_cases.FULL, ids=lambda c: c.name)
def test_epilogue_golden_equals_unbounded_integers(case: Case) -> None:
    (params,) = case.make_initializers()
    channels = case.attrs["NumChannels"]
    distinct = set()
    for frame in [case.random_frame(np.random.default_rng(7)), *case.worst_frames()]:
        (y,) = epilogue_golden.run([*frame, params], case.attrs)
        acc = frame[0].reshape(-1, channels)
        shortcut = frame[1].reshape(-1, channels) if len(frame) > 1 else np.zeros_like(acc)
        for p, row in enumerate(y.reshape(-1, channels)):
            for c, got in enumerate(row):
                column = [int(v) for v in params[:, c]]
                expected = epilogue_by_hand(
                    int(acc[p, c]), int(shortcut[p, c]), column, dict(case.attrs)
                )
                assert got == expected
                distinct.add(expected)
    low = -(1 << (int(case.output_types[0][3:]) - 1))
    assert {low, -low - 1} <= distinct and len(distinct) > 10, "the case exercises too little"


def test_epilogue_rounds_ties_up_and_floors_the_slope() -> None:
    fmt = EpilogueFormat(acc_shift=0, shortcut_shift=0, pre_shift=1, slope_shift=1, out_shift=1)
    params = np.array([[1], [0], [0], [1], [0]])
    # acc:   -6  -5  -3  -1   1   3   5
    # t:     -3  -2  -1   0   1   2   3   (halves go up)
    # bent:  -2  -1  -1   0   1   2   3   (floor of u/2 below zero)
    # out:   -1   0   0   0   1   1   2   (halves go up again)
    acc = np.array([[-6], [-5], [-3], [-1], [1], [3], [5]])
    assert epilogue(acc, params, fmt).ravel().tolist() == [-1, 0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize(("mw", "mh", "simd", "pe"), [(6, 4, 3, 2), (6, 4, 1, 4), (5, 3, 5, 1)])
def test_weight_words_follow_the_steps_of_the_unit(mw: int, mh: int, simd: int, pe: int) -> None:
    rng = np.random.default_rng(3)
    w = rng.integers(-8, 7, (mw, mh), endpoint=True)
    x = rng.integers(0, 255, mw, endpoint=True)
    words = iter(weight_words(w, pe, simd, 4))
    sums = []
    for _ in range(mh // pe):
        lanes = [0] * pe
        for sf in range(mw // simd):
            word = next(words)
            for p in range(pe):
                for s in range(simd):
                    code = (word >> ((p * simd + s) * 4)) & 15
                    lanes[p] += int(x[sf * simd + s]) * (code - 16 * (code >> 3))
        sums += lanes
    assert sums == (x @ w).tolist()
    assert next(words, None) is None


def test_accumulator_is_as_narrow_as_the_weights_allow() -> None:
    for case in (int_cases.SMOKE[0], int_cases.SMOKE[1]):
        built = build_op(case)
        w, *bias = case.make_initializers()
        outputs = [int_golden.run([x, w, *bias], case.attrs)[0] for (x,) in case.worst_frames()]
        low, high = min(int(y.min()) for y in outputs), max(int(y.max()) for y in outputs)
        datatype = built.op.minimize_accumulator_width(built.model)
        bits = datatype.bitwidth()
        assert datatype.name == built.op.get_nodeattr("outputDataType") == f"INT{bits}"
        assert datatype.min() <= low and high <= datatype.max()
        narrower = 1 << (bits - 2)
        assert low < -narrower or high >= narrower
        wide = built.op.minimize_accumulator_width(built.model, datatype_only=True)
        assert wide.bitwidth() >= bits


def test_signed_width_is_the_smallest_that_holds_a_range() -> None:
    ends = (-256, -129, -128, -127, -2, -1, 0, 1, 2, 126, 127, 128, 255)
    for low, high in ((a, b) for a in ends for b in ends if a <= 0 <= b):
        fits = (n for n in range(2, 20) if -(2 ** (n - 1)) <= low and high <= 2 ** (n - 1) - 1)
        assert signed_width(low, high) == next(fits), (low, high)


def test_xnor_accumulator_holds_all_agreeing() -> None:
    built = build_op(xnor_cases.SMOKE[0])
    assert built.op.minimize_accumulator_width(built.model).name == "INT9"  # -216..216


def test_finns_minimising_pass_narrows_the_epilogue_too() -> None:
    mvu = int_cases.SMOKE[0]
    tail = next(c for c in epilogue_cases.FULL if c.attrs["accShift"] and "shortcut" not in c.name)
    mh, vectors = mvu.attrs["MH"], mvu.attrs["numInputVectors"]
    built = build_op(mvu)
    model = built.model
    attrs = {**tail.attrs, "NumChannels": mh, "PE": 1, "numInputVectors": vectors}
    attrs["accDataType"] = mvu.attrs["outputDataType"]
    model.graph.node.append(
        helper.make_node(
            "Epilogue_rtl",
            ["y0", "params"],
            ["z"],
            name="Epilogue_0",
            domain="finn.custom_op.fpgadataflow.rtl",
            backend="fpgadataflow",
            **attrs,
        )
    )
    model.graph.output[0].name = "z"
    model.set_initializer("w", np.floor(model.get_initializer("w") / 16))
    model.set_initializer("params", np.ones((5, mh), dtype=np.float32))
    model.set_tensor_shape("y0", [*vectors, mh])
    model = model.transform(MinimizeAccumulatorWidth())
    head, epilogue_op = (getCustomOp(n) for n in model.graph.node)
    narrow = head.get_nodeattr("outputDataType")
    assert DataType[narrow].bitwidth() < DataType[mvu.attrs["outputDataType"]].bitwidth()
    assert epilogue_op.get_nodeattr("accDataType") == narrow
    assert model.get_tensor_datatype("y0").name == narrow
    assert model.get_tensor_datatype("z").name == tail.output_types[0]


@pytest.mark.parametrize("case", epilogue_cases.SMOKE, ids=lambda c: c.name)
def test_a_bias_clipped_to_its_limit_changes_no_output(case: Case) -> None:
    limit = build_op(case).op.bias_limit()
    (params,) = case.make_initializers()
    for bias in (limit + 1, 4 * limit, -limit - 1, -4 * limit):
        given, clipped = params.copy(), params.copy()
        given[1], clipped[1] = bias, np.clip(bias, -limit, limit)
        for frame in [case.random_frame(np.random.default_rng(5)), *case.worst_frames()]:
            expected = epilogue_golden.run([*frame, given], case.attrs)[0]
            got = epilogue_golden.run([*frame, clipped], case.attrs)[0]
            assert (expected == got).all()


@pytest.mark.parametrize(
    ("case", "attribute", "value", "message"),
    [
        (xnor_cases.SMOKE[2], "SIMD", 7, "48 input elements cannot be split over SIMD=7"),
        (int_cases.SMOKE[0], "PE", 4, "6 outputs cannot be split over PE=4; use one of 1,2,3,6"),
        (epilogue_cases.SMOKE[0], "PE", 0, "24 channels cannot be split over PE=0"),
    ],
)
def test_a_folding_that_does_not_divide_is_refused(
    case: Case, attribute: str, value: int, message: str
) -> None:
    built = build_op(case)
    built.op.set_nodeattr(attribute, value)
    with pytest.raises(ValueError, match=message):
        for stream in (built.op.input_streams, built.op.output_streams):
            stream()


def test_memories_refuse_what_does_not_fit(tmp_path: Any) -> None:
    narrow = replace(
        int_cases.SMOKE[0], attrs={**int_cases.SMOKE[0].attrs, "outputDataType": "INT12"}
    )
    with pytest.raises(ValueError, match="outputDataType INT12 holds -2048..2047"):
        build_op(replace(narrow, output_types=("INT12",))).generate(tmp_path)
    wide = replace(int_cases.SMOKE[0], attrs={**int_cases.SMOKE[0].attrs, "weightDataType": "INT4"})
    with pytest.raises(ValueError, match="found weights -128..127, expected -8..7"):
        build_op(wide).generate(tmp_path)

    built = build_op(xnor_cases.SMOKE[1])
    built.model.set_initializer("w", np.full((6, 4), -1, dtype=np.float32))
    with pytest.raises(ValueError, match="found weights -1..-1, expected 0..1"):
        built.generate(tmp_path)

    built = build_op(epilogue_cases.SMOKE[0])
    params = epilogue_cases.SMOKE[0].make_initializers()[0].astype(np.float32)
    params[3, 5] = 128
    built.model.set_initializer("params", params)
    with pytest.raises(ValueError, match="slope of channel 5 is 128, expected -128..127"):
        built.generate(tmp_path)


@pytest.mark.parametrize(
    ("width", "depth", "luts", "blocks"),
    [
        (100, 1, 0, 0),
        (7, 64, 7, 0),
        (36, 65, 0, 1),
        (37, 512, 0, 2),
        (36, 513, 0, 2),
        (9, 2048, 0, 1),
        (1, 16384, 0, 1),
        (1, 16385, 0, 2),
    ],
)
def test_rom_costs_whole_block_rams(width: int, depth: int, luts: int, blocks: int) -> None:
    assert rom_cost(width, depth) == (luts, blocks)

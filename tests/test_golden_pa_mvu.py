# SPDX-License-Identifier: Apache-2.0
"""PaMvu: golden against bit counts and plain products, choice of implementation, refusals."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.pa_mvu import cases, golden
from andpop.hw.kernels.pa_mvu.op import IMPLEMENTATIONS, signed_digits
from andpop.sim.cases import Case
from kernel_cases import build_op
from qonnx.core.datatype import DataType

ALL = cases.SMOKE + cases.FULL
FREE = cases.SMOKE[1]
LINEAR = cases.SMOKE[2]


def altered(case: Case, attrs: Mapping[str, Any]) -> Case:
    """The case with other attributes."""
    return replace(case, attrs={**case.attrs, **attrs})


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_golden_equals_products_of_levels(case: Case) -> None:
    w, alpha, beta = case.make_initializers()
    zero = case.attrs["zero"]
    for (x,) in [case.random_frame(np.random.default_rng(7)), *case.worst_frames()]:
        (y,) = golden.run([x, w, alpha, beta], case.attrs)
        expected = beta.astype(object)[x] @ alpha.astype(object)[w + zero]
        assert y.dtype == np.int64 and y.shape == expected.shape
        assert (y == expected).all()


def test_golden_counts_the_bits_of_eq_20() -> None:
    case = cases.SMOKE[0]
    w, alpha, beta = case.make_initializers()
    zero = case.attrs["zero"]
    x = case.random_frame(np.random.default_rng(3))[0].reshape(-1, w.shape[0])
    got = golden.pa_mvu(x, w, alpha, beta, zero)
    compared = 0
    for vector, sums in zip(x, got, strict=True):
        bases_v = [sum(1 << k for k, c in enumerate(vector) if c == j) for j in range(len(beta))]
        for column, value in zip(w.T, sums, strict=True):
            bases_t = [
                sum(1 << k for k, c in enumerate(column) if c + zero == i)
                for i in range(len(alpha))
            ]
            expected = sum(
                int(alpha[i]) * int(beta[j]) * (bases_t[i] & bases_v[j]).bit_count()
                for i, j in itertools.product(range(len(alpha)), range(len(beta)))
            )
            assert value == expected
            compared += 1
    assert compared == 4 * case.attrs["MH"]


@pytest.mark.parametrize("case", cases.SMOKE, ids=lambda c: c.name)
def test_accumulator_is_as_narrow_as_the_weights_allow(case: Case) -> None:
    built = build_op(case)
    w, alpha, beta = case.make_initializers()
    outputs = [golden.run([x, w, alpha, beta], case.attrs)[0] for (x,) in case.worst_frames()]
    low, high = min(int(y.min()) for y in outputs), max(int(y.max()) for y in outputs)
    bits = built.op.minimize_accumulator_width(built.model).bitwidth()
    assert built.op.get_nodeattr("outputDataType") == f"INT{bits}" == case.output_types[0]
    assert low < -(1 << (bits - 2)) or high >= 1 << (bits - 2), "a bit less would do"
    assert built.op.minimize_accumulator_width(built.model, datatype_only=True).bitwidth() >= bits


def test_an_accumulator_beyond_31_bits_is_refused(tmp_path: Path) -> None:
    wide = {"alphaDataType": "INT16", "betaDataType": "UINT16"}
    built = build_op(altered(FREE, {**wide, "outputDataType": "INT32"}))
    alpha = FREE.make_initializers()[1]
    built.model.set_initializer("alpha", (alpha * 250).astype(np.float32))
    built.model.set_initializer("beta", np.array([0, 1, 2, 3, 4, 5, 6, 32767], dtype=np.float32))
    with pytest.raises(ValueError, match=r"^PaMvu_0: the accumulator reaches .* at most 31;"):
        built.op.minimize_accumulator_width(built.model)
    with pytest.raises(ValueError, match="PaMvu_0: outputs reach"):
        built.generate(tmp_path)
    small = build_op(altered(FREE, {"outputDataType": "INT32"}))
    with pytest.raises(ValueError, match="found outputDataType INT32, expected at most 31 bits"):
        small.generate(tmp_path)


def test_levels_are_of_16_bits() -> None:
    built = build_op(altered(FREE, {"betaDataType": "UINT16"}))
    built.model.set_initializer("beta", np.array([0, 1, 2, 3, 4, 5, 6, 32768], dtype=np.float32))
    with pytest.raises(ValueError, match=r"^PaMvu_0: found beta 0..32768, expected 0..32767 "):
        built.op.read_constants(built.model)


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_auto_takes_the_cheapest_that_can_compute_it(case: Case) -> None:
    built = build_op(altered(case, {"implementation": "auto"}))
    built.op.read_constants(built.model)
    costs = built.op.costs()
    assert ("planes" in costs) == built.op.is_linear()
    assert {"literal", "coded"} <= set(costs) <= set(IMPLEMENTATIONS)
    assert costs[built.op.resolved()] == min(costs.values()) == built.op.lut_estimation("")
    for name in costs:
        built.op.set_nodeattr("implementation", name)
        assert built.op.resolved() == name and built.op.lut_estimation("") == costs[name]


def test_planes_are_refused_where_codes_are_not_levels() -> None:
    built = build_op(altered(FREE, {"implementation": "planes"}))
    built.op.read_constants(built.model)
    with pytest.raises(ValueError, match=r"^PaMvu_0: found implementation planes with levels \["):
        built.op.resolved()


def test_estimates_need_the_codebooks() -> None:
    with pytest.raises(ValueError, match="PaMvu_0: found no codebooks in its attributes"):
        build_op(FREE).op.lut_estimation("")


def test_specialised_codebooks_follow_the_initializers() -> None:
    built = build_op(LINEAR)
    built.op.infer_node_datatype(built.model)
    assert built.op.is_linear()
    built.model.set_initializer("beta", np.array([0, 1, 2, 3, 4, 7], dtype=np.float32))
    built.op.infer_node_datatype(built.model)
    assert not built.op.is_linear()


@pytest.mark.parametrize(
    ("initializer", "values", "message"),
    [
        ("alpha", [-2, -1, 1, 1, 2], r"found alpha \[-2, -1, 1, 1, 2\], expected 0 at index 2"),
        ("alpha", [-2, -1], r"found alpha \[-2, -1\], expected 0 at index 2"),
        ("alpha", [-9, -1, 0, 1, 2], "found alpha -9..2, expected -4..3 .declared INT3,"),
        ("alpha", [-1, -1, 0, 1, 1, 1, 1], "alpha has the codes -2..4, expected -4..3 as"),
        ("beta", [1, 2], r"found beta \[1, 2\], expected 0 at index 0"),
        ("beta", [0, 1, 2, 3, 4, 9], "found beta 0..9, expected 0..7 .declared UINT3,"),
        ("beta", [0, 1, 2, 3, 4, 5, 6, 7, 7], "beta has the codes 0..8, expected 0..7 as declared"),
        ("w", 3, "found weight codes 3..3, expected -2..2, the codes alpha has levels for"),
    ],
)
def test_codebooks_that_do_not_fit_are_refused(
    initializer: str, values: Any, message: str, tmp_path: Path
) -> None:
    built = build_op(LINEAR)
    shape = LINEAR.make_initializers()[0].shape if initializer == "w" else None
    value = np.full(shape, values) if shape else np.array(values)
    built.model.set_initializer(initializer, value.astype(np.float32))
    with pytest.raises(ValueError, match=f"^PaMvu_0: {message}") as error:
        built.generate(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "digits"), [(0, 0), (1, 1), (-1, 1), (7, 2), (-7, 2), (85, 4), (32385, 4)]
)
def test_signed_digits_of_a_constant(value: int, digits: int) -> None:
    assert signed_digits(value) == digits


def test_datatypes_of_the_smallest_codebook() -> None:
    case = next(c for c in cases.FULL if "_m2_n1_" in c.name)
    assert DataType[case.attrs["inputDataType"]].bitwidth() == 1
    assert DataType[case.attrs["weightDataType"]].bitwidth() == 2

# SPDX-License-Identifier: Apache-2.0
"""Goldens of the matrix-vector units: bit counts, sums of levels, unbounded integers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from andpop.hw.kernels.binary_mvu import golden as binary_golden
from andpop.hw.kernels.int_mvu import golden as int_golden
from andpop.hw.kernels.pa_mvu import cases as pa_cases
from andpop.hw.kernels.pa_mvu import golden as pa_golden
from andpop.hw.kernels.xnor_mvu import cases as xnor_cases
from andpop.hw.kernels.xnor_mvu import golden as xnor_golden
from andpop.sim.cases import Case
from kernel_cases import cases_of


def as_word(bits: Sequence[int]) -> int:
    """Bits as one integer, bit 0 first."""
    return sum(int(b) << i for i, b in enumerate(bits))


@pytest.mark.parametrize("case", cases_of("xnor_mvu"))
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


@pytest.mark.parametrize("case", cases_of("binary_mvu"))
def test_binary_golden_adds_and_subtracts_codes(case: Case) -> None:
    (w,) = case.make_initializers()
    mw, mh = w.shape
    compared = 0
    for (x,) in [case.random_frame(np.random.default_rng(7)), *case.worst_frames()]:
        (y,) = binary_golden.run([x, w], case.attrs)
        assert y.dtype == np.int64
        for vector, sums in zip(x.reshape(-1, mw).tolist(), y.reshape(-1, mh), strict=True):
            for column, got in zip(w.T.tolist(), sums, strict=True):
                expected = sum(v if b else -v for v, b in zip(vector, column, strict=True))
                assert got == expected
                compared += 1
    assert compared == 6 * mh * int(np.prod(case.attrs["numInputVectors"]))


@pytest.mark.parametrize("k", range(1, 9))
def test_bit_planes_and_inverted_codes_give_the_golden(k: int) -> None:
    """What the implementations of binary products compute, in unbounded integers."""
    rng = np.random.default_rng(k)
    most = (1 << k) - 1
    x = rng.integers(0, most, (20, 33), endpoint=True)
    w = rng.integers(0, 1, (33, 9), endpoint=True)
    compared = 0
    for vector, sums in zip(x.tolist(), binary_golden.binary_mvu(x, w), strict=True):
        for column, got in zip(w.T.tolist(), sums, strict=True):
            ones = sum(bit << i for i, bit in enumerate(column))
            planes = [sum((v >> b & 1) << i for i, v in enumerate(vector)) for b in range(k)]
            serial = sum(
                (2 * (p & ones).bit_count() - p.bit_count()) << b for b, p in enumerate(planes)
            )
            inverted = sum(v if b else v ^ most for v, b in zip(vector, column, strict=True))
            assert got == serial == inverted - most * column.count(0)
            compared += 1
    assert compared == 20 * 9


@pytest.mark.parametrize("case", cases_of("int_mvu"))
def test_int_golden_equals_unbounded_integers(case: Case) -> None:
    w, *bias = case.make_initializers()
    for (x,) in [case.random_frame(np.random.default_rng(7)), *case.worst_frames()]:
        (y,) = int_golden.run([x, w, *bias], case.attrs)
        exact = x.astype(object) @ w.astype(object)
        if bias:
            exact = exact + bias[0].astype(object)
        assert y.dtype == np.int64
        assert (exact == y).all()


@pytest.mark.parametrize("case", cases_of("pa_mvu"))
def test_pa_golden_equals_products_of_levels(case: Case) -> None:
    w, alpha, beta = case.make_initializers()
    zero = case.attrs["zero"]
    for (x,) in [case.random_frame(np.random.default_rng(7)), *case.worst_frames()]:
        (y,) = pa_golden.run([x, w, alpha, beta], case.attrs)
        expected = beta.astype(object)[x] @ alpha.astype(object)[w + zero]
        assert y.dtype == np.int64 and y.shape == expected.shape
        assert (y == expected).all()


def test_pa_golden_counts_the_bits_of_eq_20() -> None:
    case = pa_cases.SMOKE[0]
    w, alpha, beta = case.make_initializers()
    zero = case.attrs["zero"]
    x = case.random_frame(np.random.default_rng(3))[0].reshape(-1, w.shape[0])
    got = pa_golden.pa_mvu(x, w, alpha, beta, zero)
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

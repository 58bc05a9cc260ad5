# SPDX-License-Identifier: Apache-2.0
"""Goldens of what stands behind a product: epilogue, rounding shift, signed thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.epilogue import cases as epilogue_cases
from andpop.hw.kernels.epilogue import golden as epilogue_golden
from andpop.quant.grid import EpilogueFormat, epilogue
from andpop.sim.cases import Case
from kernel_cases import build_op, cases_of, golden_of


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


@pytest.mark.parametrize("case", cases_of("epilogue"))
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
    assert len(distinct) > 8, "the case exercises too little"
    if 1 << (case.attrs["preBits"] - 1) >> case.attrs["outShift"] >= -low:
        assert {low, -low - 1} <= distinct, "the case does not saturate"


def test_epilogue_rounds_ties_up_and_floors_the_slope() -> None:
    fmt = EpilogueFormat(acc_shift=0, shortcut_shift=0, pre_shift=1, slope_shift=1, out_shift=1)
    params = np.array([[1], [0], [0], [1], [0]])
    # acc:   -6  -5  -3  -1   1   3   5
    # t:     -3  -2  -1   0   1   2   3   (halves go up)
    # bent:  -2  -1  -1   0   1   2   3   (floor of u/2 below zero)
    # out:   -1   0   0   0   1   1   2   (halves go up again)
    acc = np.array([[-6], [-5], [-3], [-1], [1], [3], [5]])
    assert epilogue(acc, params, fmt).ravel().tolist() == [-1, 0, 0, 0, 1, 1, 2]


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
    ("target", "shift", "x", "y"),
    [
        ("INT8", 1, [-3, -2, -1, 0, 1, 2, 3], [-1, -1, 0, 0, 1, 1, 2]),
        ("INT8", 6, [8191, -8192, 31, 32, -32, -33], [127, -128, 0, 1, 0, -1]),
        ("INT8", 0, [127, 128, -128, -129], [127, 127, -128, -128]),
        ("UINT4", 2, [-1, -3, 57, 58, 61, 62], [0, 0, 14, 15, 15, 15]),
    ],
)
def test_requant_rounds_half_up_and_saturates(
    target: str, shift: int, x: list[int], y: list[int]
) -> None:
    (got,) = golden_of("shift_requant", [x], outputDataType=target, shift=shift, hasShortcut=0)
    assert got.tolist() == y


def test_requant_adds_the_shortcut_before_it_rounds() -> None:
    acc = [7, 8, 2000, -2048, 40, -40]
    shortcut = [0, 0, 127, -128, -2, 2]
    attrs = {"outputDataType": "INT8", "shift": 4, "hasShortcut": 1, "shortcutShift": 5}
    (got,) = golden_of("shift_requant", [acc, shortcut], **attrs)
    assert got.tolist() == [0, 1, 127, -128, -1, 2]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("code", [[0, 3], [0, 3], [1, 2], [3, 1], [3, 0]]),
        ("onehot", [[0, 4], [0, 4], [1, 2], [4, 1], [4, 0]]),
        ("thermometer", [[0, 7], [0, 7], [1, 3], [7, 1], [7, 0]]),
    ],
)
def test_signed_thresholds_rise_and_fall(encoding: str, expected: list[list[int]]) -> None:
    x = [[-8, -8], [-4, -1], [-3, 0], [2, 4], [7, 6]]
    thresholds, steps, base = [[-3, 2, 2], [0, 3, 6]], [[1, 1, 1], [-1, -1, -1]], [0, 3]
    (y,) = golden_of("signed_thresholding", [x, thresholds, steps, base], encoding=encoding)
    assert y.tolist() == expected


def test_signed_thresholding_refuses_an_unknown_encoding() -> None:
    with pytest.raises(ValueError, match="found encoding 'gray', expected code"):
        golden_of("signed_thresholding", [[1], [[0]], [[1]], [0]], encoding="gray")


def test_signed_thresholds_count_those_reached_whatever_their_order() -> None:
    rng = np.random.default_rng(4)
    thresholds = rng.integers(-128, 128, (6, 9))
    x = rng.integers(-128, 128, (3, 5, 5, 6))
    ones, zeros = np.ones((6, 9)), np.zeros(6)
    counts = (x[..., None] >= thresholds).sum(axis=-1)
    (up,) = golden_of("signed_thresholding", [x, thresholds, ones, zeros], encoding="code")
    (down,) = golden_of("signed_thresholding", [x, thresholds, -ones, zeros + 9], encoding="code")
    assert np.array_equal(up, counts)
    assert np.array_equal(down, 9 - counts)

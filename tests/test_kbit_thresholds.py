# SPDX-License-Identifier: Apache-2.0
"""Signed thresholds equal the float64 activation at every accumulator value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from andpop.hw.kernels.signed_thresholding.golden import signed_thresholding
from andpop.hw.kernels.thresholds import search_tables
from andpop.quant.blocks.signed_thresholds import (
    DIP,
    DIP_AT,
    LevelFunction,
    derive,
    fold,
    most_falling,
    threshold_count,
)
from comparisons import Comparisons
from definitions import searched

CHANNELS = 64
LIMIT = 3000


def every(low: int, high: int, channels: int) -> np.ndarray:
    return np.broadcast_to(np.arange(low, high + 1), (channels, high - low + 1))


def random_function(
    rng: np.random.Generator, top: int, rsilu: bool, spread: float
) -> LevelFunction:
    """Gammas of both signs and 0, statistics anywhere, eta in and out of the clip's range."""
    gamma = rng.normal(size=CHANNELS)
    gamma[:4] = 0.0, 1e-9, -1e-9, 30.0
    eta = rng.uniform(-0.5, 1.5, CHANNELS)
    eta[4:8] = 0.0, 0.5 / top, DIP, 1.0
    mean, var = rng.normal(0, spread, CHANNELS), rng.uniform(0, spread**2, CHANNELS)
    return fold(
        gamma,
        rng.normal(size=CHANNELS),
        mean,
        var,
        1e-3 * spread**2,
        rng.normal(size=CHANNELS) if rsilu else None,
        eta if rsilu else None,
        top,
    )


@pytest.mark.parametrize("rsilu", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 8])
def test_equal_the_function_at_every_accumulator(
    k: int, rsilu: bool, compared: Comparisons
) -> None:
    top = (1 << k) - 1
    steps_down = 0
    for seed in range(4 if k == 8 else 20):
        rng = np.random.default_rng(seed)
        # Narrow statistics put the whole curve between neighbours, wide ones outside the range.
        function = random_function(rng, top, rsilu, 10.0 ** rng.uniform(-1, 4))
        low, high = -int(rng.integers(1, LIMIT)), int(rng.integers(1, LIMIT))
        x = every(low, high, CHANNELS)
        expected = function.levels(x)
        found = derive(function, low, high, threshold_count(top, rsilu))
        compared.arrays(expected, found.levels(x))
        assert found.thresholds.min() >= low and found.thresholds.max() <= high
        assert (np.diff(found.thresholds, axis=1) >= 0).all()
        assert set(np.unique(found.steps)) <= {-1, 1}
        constants = found.thresholds, found.steps, found.base
        compared.arrays(expected.T, signed_thresholding(x.T, *constants))
        # As wide as the accumulator's type, which reaches farther than the accumulator.
        ends = -(1 << 12), (1 << 12) - 1
        compared.arrays(expected, searched(search_tables(*constants, *ends), x - ends[0]))
        steps_down += int((np.diff(expected[function.scale > 0]) < 0).sum())
    assert compared.values > 1_200_000
    assert (steps_down > 20) == rsilu


@pytest.mark.parametrize(("k", "limit"), [(4, 1024 * 9 * 15), (8, 9 * 127 * 255)])
def test_equal_the_function_on_the_widest_accumulators(
    k: int, limit: int, compared: Comparisons
) -> None:
    rng = np.random.default_rng(k)
    function = random_function(rng, (1 << k) - 1, True, limit / 30)
    some = slice(6, 14)
    function = LevelFunction(
        function.scale[some], function.offset[some], function.eta[some], function.top
    )
    x = every(-limit, limit, 8)
    found = derive(function, -limit, limit, threshold_count(function.top, True))
    expected = function.levels(x)
    compared.arrays(expected, found.levels(x))
    constants = found.thresholds, found.steps, found.base
    near = np.unique(found.thresholds + np.arange(-1, 2)[:, None, None]).clip(-limit, limit)
    codes = signed_thresholding(np.tile(near[:, None], (1, 8)), *constants)
    compared.arrays(function.levels(np.tile(near, (8, 1))), codes.T)
    tables = search_tables(*constants, -limit, limit)
    compared.arrays(expected, searched(tables, x + limit))
    assert expected.size > 2_000_000
    assert len(np.unique(expected)) == function.top + 1


def test_levels_sum_the_steps_of_reached_thresholds() -> None:
    function = random_function(np.random.default_rng(1), 15, True, 100.0)
    found = derive(function, -500, 500, threshold_count(15, True))
    x = every(-500, 500, CHANNELS)
    reached = x[:, None, :] >= found.thresholds[:, :, None]
    sums = found.base[:, None] + (reached * found.steps[:, :, None]).sum(axis=1)
    assert np.array_equal(sums, function.levels(x))


def test_fraction_bits_scale_the_accumulator() -> None:
    rng = np.random.default_rng(2)
    one = np.ones(3)
    plain = fold(one, one, 2 * one, one, 0.5, one, one, 15)
    shifted = fold(one, one, 2 * one, one, 0.5, one, one, 15, acc_frac=5)
    x = rng.integers(-40, 40, (3, 200))
    assert np.array_equal(plain.levels(x), shifted.levels(32 * x))


@pytest.mark.parametrize(("k", "worst"), [(2, 1), (3, 2), (4, 5), (8, 72)])
def test_no_eta_has_more_steps_down(k: int, worst: int) -> None:
    top = (1 << k) - 1
    assert most_falling(top) == worst
    eta = np.linspace(-0.1, 1.5, 40_001)

    def q(y: np.ndarray) -> np.ndarray:
        return np.floor(np.clip(y, 0, 1) * top + 0.5)

    assert int((q(eta) - q(eta - DIP)).max()) == worst


def test_the_dip_is_where_the_derivative_vanishes() -> None:
    s = 1 / (1 + math.exp(-DIP_AT))
    assert abs(1 + DIP_AT * (1 - s)) < 1e-15
    assert abs(DIP_AT * s + DIP) < 1e-15


def test_a_step_down_where_none_has_room_is_refused() -> None:
    one = np.ones(2)
    function = fold(one, 0 * one, 0 * one, one, 0.0, 0 * one, np.array([0.0, 0.2]), 15)
    with pytest.raises(ValueError, match="found 3 steps down, expected at most 0"):
        derive(function, -100, 100, threshold_count(15, falling=False))


def test_parameters_that_are_not_finite_are_refused() -> None:
    one = np.ones(2)
    with pytest.raises(ValueError, match="found scale .*nan.*, expected finite"):
        derive(fold(one * np.nan, one, one, one, 0.0, None, None, 3), -9, 9, 3)

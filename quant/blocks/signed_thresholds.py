# SPDX-License-Identifier: Apache-2.0
"""k-bit activations as functions of one integer, and the signed thresholds that equal them.

BN, RSiLU, clip to [0, 1] and the k-bit quantiser behind an integer accumulator x are, channel by
channel, one function of x with the levels 0..L, L = 2^k - 1 (equations 6 and 4 of U-BiNet):

    level(x) = floor(L * clip(RSiLU(scale * x + offset) + eta, 0, 1) + 1/2)
    RSiLU(z) = z * sigmoid(z), the shift zeta being part of ``offset``

RSiLU falls from 0 to -0.2785 and then rises, so a level change is a step down or up. NumPy only;
the thresholds are derived here in float64, once, and PyTorch and hardware use them alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..grid import IntArray, round_half_up

FloatArray = npt.NDArray[np.float64]

DIP_AT = -1.2784645427610738
"""Where z * sigmoid(z) is smallest: the root of 1 + z * (1 - sigmoid(z))."""
DIP = 0.2784645427610738
"""How far it falls; the minimum of z * sigmoid(z) is z + 1 there."""


@dataclass(frozen=True)
class LevelFunction:
    """The levels of one layer as a function of its accumulator, see the head of this file.

    Attributes:
        scale: (C,) of any sign, or 0.
        offset: (C,).
        eta: (C,) shift of RSiLU's output; None for no RSiLU, clip and quantiser alone.
        top: the largest level L.
    """

    scale: FloatArray
    offset: FloatArray
    eta: FloatArray | None
    top: int

    def values(self, x: IntArray) -> FloatArray:
        """Return (C, V) values before the clip of (C, V) integers."""
        z = x * self.scale[:, None] + self.offset[:, None]
        if self.eta is None:
            return z
        with np.errstate(over="ignore"):
            return z / (1.0 + np.exp(-z)) + self.eta[:, None]

    def levels(self, x: IntArray) -> IntArray:
        """Return (C, V) levels of (C, V) integers."""
        clipped = np.clip(self.values(x), 0.0, 1.0)
        return round_half_up(clipped * self.top).astype(np.int64)


def fold(
    gamma: FloatArray,
    beta: FloatArray,
    mean: FloatArray,
    var: FloatArray,
    eps: float,
    zeta: FloatArray | None,
    eta: FloatArray | None,
    top: int,
    acc_frac: int = 0,
) -> LevelFunction:
    """Fold BN and RSiLU's parameters, all (C,), into a function of the accumulator's integers.

    Args:
        gamma: BN scale.
        beta: BN bias.
        mean: mean of the accumulator's values.
        var: their variance.
        eps: added to the variance.
        zeta: shift of RSiLU's input; None with ``eta`` None.
        eta: shift of RSiLU's output; None for no RSiLU.
        top: the largest level.
        acc_frac: fraction bits of the accumulator: value = integer * 2**-acc_frac.
    """
    scale = gamma / np.sqrt(var + eps)
    offset = beta - mean * scale
    if zeta is not None:
        offset = offset - zeta
    return LevelFunction(scale * 2.0**-acc_frac, offset, eta, top)


@dataclass(frozen=True)
class SignedThresholds:
    """``level(x) = base + sum of steps where x >= thresholds``, per channel.

    Attributes:
        thresholds: (C, n), ascending. Those that are not needed are the smallest accumulator,
            always reached, and ``base`` takes their steps back.
        steps: (C, n) of -1 and +1.
        base: (C,).
    """

    thresholds: IntArray
    steps: IntArray
    base: IntArray

    def levels(self, x: IntArray) -> IntArray:
        """Return (C, V) levels of (C, V) integers."""
        found = np.empty_like(x)
        sums = np.pad(np.cumsum(self.steps, axis=1), ((0, 0), (1, 0))) + self.base[:, None]
        for c, row in enumerate(x):
            found[c] = sums[c][np.searchsorted(self.thresholds[c], row, side="right")]
        return found


def most_falling(top: int) -> int:
    """Return the most steps down that RSiLU takes for any eta."""
    return math.floor(top * DIP) + 1


def threshold_count(top: int, falling: bool) -> int:
    """Return the thresholds per channel that always suffice.

    Args:
        top: the largest level.
        falling: False where no step down can occur.
    """
    return top + (most_falling(top) if falling else 0)


def derive(function: LevelFunction, low: int, high: int, count: int) -> SignedThresholds:
    """Return the thresholds that equal ``function`` at every integer of low..high.

    Each is found by bisection on the function's own float64 values, on the branch left or right of
    the dip, where they are monotone.

    Args:
        function: the function of C channels.
        low: smallest accumulator.
        high: largest accumulator.
        count: thresholds per channel, see ``threshold_count``.

    Raises:
        ValueError: a parameter is not finite, or a channel has more steps down than ``count``
            leaves room for.
    """
    for name, value in (("scale", function.scale), ("offset", function.offset)):
        if not np.isfinite(value).all():
            raise ValueError(f"thresholds: found {name} {value}, expected finite BN parameters")
    negative = function.scale < 0
    # A falling scale is a rising one of -x.
    way = np.where(negative, -1, 1)[:, None]
    mirrored = LevelFunction(np.abs(function.scale), function.offset, function.eta, function.top)
    first = np.where(negative, -high, low)[:, None]
    last = np.where(negative, -low, high)[:, None]
    dip = first if function.eta is None else _dip(mirrored, first, last)
    at_first, at_dip, at_last = (mirrored.levels(x) for x in (first, dip, last))
    room = count - function.top
    deepest = int((at_first - at_dip).max())
    if deepest > room:
        raise ValueError(
            f"thresholds: found {deepest} steps down, expected at most {room}; "
            "lower eta or switch monotone off"
        )
    up = np.arange(1, function.top + 1)[None, :]
    rising = _first(lambda x: mirrored.levels(x) >= up, dip, last, (at_dip < up) & (up <= at_last))
    down = at_first - np.arange(room)[None, :]
    falling = _first(lambda x: mirrored.levels(x) < down, first, dip, down > at_dip)
    found = np.concatenate((rising, falling), axis=1)
    steps = way * np.repeat((1, -1), (function.top, room))[None, :]
    used = found > first
    thresholds = np.where(used, np.where(way > 0, found, 1 - found), low)
    steps = np.where(used, steps, 1)
    at_low = function.levels(np.full((len(function.scale), 1), low))[:, 0]
    base = at_low - np.where(used, 0, steps).sum(axis=1)
    order = np.argsort(thresholds, axis=1, kind="stable")
    return SignedThresholds(
        np.take_along_axis(thresholds, order, 1), np.take_along_axis(steps, order, 1), base
    )


def _dip(function: LevelFunction, first: IntArray, last: IntArray) -> IntArray:
    """Return (C, 1) integers where a function of rising scale is smallest."""
    with np.errstate(divide="ignore", invalid="ignore"):
        at = (DIP_AT - function.offset) / function.scale
    near = np.clip(np.nan_to_num(at)[:, None], first, last).astype(np.int64)
    around = np.clip(near + np.arange(-2, 3)[None, :], first, last)
    smallest = np.argmin(function.values(around), axis=1)[:, None]
    return np.take_along_axis(around, smallest, 1)


def _first(
    reached: Callable[[IntArray], npt.NDArray[np.bool_]],
    low: IntArray,
    high: IntArray,
    used: npt.NDArray[np.bool_],
) -> IntArray:
    """Return the first integers of low+1..high that are ``reached``; unused ones the smallest."""
    shape = used.shape
    after = np.where(used, high, np.iinfo(np.int64).min // 2)
    before = np.where(used, np.broadcast_to(low, shape), after - 1)
    # Unused entries are evaluated too, at a harmless place.
    harmless = np.broadcast_to(low, shape)
    while (open_ := after - before > 1).any():
        middle = (after + before) // 2
        hit = reached(np.where(open_, middle, harmless))
        after = np.where(open_ & hit, middle, after)
        before = np.where(open_ & ~hit, middle, before)
    return after

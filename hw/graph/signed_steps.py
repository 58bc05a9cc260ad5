# SPDX-License-Identifier: Apache-2.0
"""Functions of one integer as signed steps at thresholds: a start and what each threshold adds."""

from __future__ import annotations

import numpy as np

from ...quant.grid import IntArray
from .qonnx_graph import FloatArray


def signed_steps(integers: IntArray, codes: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Write any function of one integer as signed steps at thresholds, per channel.

    Args:
        integers: (V,) where the function is known, ascending: between two it stays as it is.
        codes: (C, V) the function's values there.

    Returns:
        thresholds (C, n) and steps (C, n) of -1 and +1 with
        ``codes = base + sum of steps where x >= threshold``, and base (C,). A channel with fewer
        than n steps has the others at the lowest, always reached and taken back in its base.
    """
    jumps = np.diff(codes, axis=1)
    units = []
    for jump in jumps:
        (at,) = np.nonzero(jump)
        unit = np.repeat(at, np.abs(jump[at]))
        units.append((integers[1:][unit], np.sign(jump[unit])))
    return _aligned(int(integers[0]), units, codes[:, 0])


def within(
    low: IntArray,
    high: IntArray,
    unused: int,
    thresholds: FloatArray,
    steps: IntArray,
    base: IntArray,
) -> tuple[IntArray, IntArray, IntArray]:
    """Write signed steps for the integers that come alone, in the form of `signed_steps`.

    Args:
        low: (C,) smallest value of the integer x.
        high: (C,) its largest value.
        unused: where thresholds stand that are not used: at most ``low``.
        thresholds: (C, n), in any order; x reaches one that is no integer where it reaches the
            next integer.
        steps: (C, n) of -1 and +1.
        base: (C,).

    Returns:
        thresholds, ascending, steps and base. What x never reaches is gone, what it always
        reaches is in the base, and so are columns that no channel uses.
    """
    always, never = thresholds <= low[:, None], thresholds > high[:, None]
    first = base + (steps * always).sum(axis=1)
    units = []
    for row, step, used in zip(np.ceil(thresholds), steps, ~(always | never), strict=True):
        order = np.argsort(row[used], kind="stable")
        units.append((row[used][order].astype(np.int64), step[used][order]))
    return _aligned(unused, units, first)


def _aligned(
    low: int, units: list[tuple[IntArray, IntArray]], first: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Bring the channels' thresholds and steps to equal counts; ``first`` = values below them,
    ``low`` = where the thresholds stand that only fill up."""
    count = np.array([at.size for at, _ in units])
    n = max(1, int(count.max()))
    thresholds = np.full((len(units), n), low, dtype=np.int64)
    steps = np.ones((len(units), n), dtype=np.int64)
    for row, (at, step) in enumerate(units):
        thresholds[row, n - at.size :] = at
        steps[row, n - at.size :] = step
    return thresholds, steps, first - (n - count)

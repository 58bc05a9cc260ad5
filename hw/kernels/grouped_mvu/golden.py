# SPDX-License-Identifier: Apache-2.0
"""Golden model of GroupedMvu: every group of channels times its own weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def grouped_mvu(x: IntArray, w: IntArray, groups: int, taps: int, bias: IntArray | int) -> IntArray:
    """Return the sums of each group's outputs over its own inputs.

    Args:
        x: (.., taps * C) integers, channels innermost, group by group.
        w: (taps * C / groups, O) weights: the inputs of the output's group, position by position.
        groups: groups of channels.
        taps: positions of a window.
        bias: (O,) integers or 0.

    Returns:
        (.., O) exact sums.
    """
    inputs, outputs = w.shape[0] // taps, w.shape[1] // groups
    lead = x.shape[:-1]
    # (.., taps, groups, inputs) times (taps, inputs, groups, outputs); float64 is exact here.
    grouped = x.reshape(*lead, taps, groups, inputs).astype(np.float64)
    weights = w.reshape(taps, inputs, groups, outputs).astype(np.float64)
    sums = np.einsum("...tgi,tigo->...go", grouped, weights)
    return sums.astype(np.int64).reshape(*lead, groups * outputs) + bias


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x, W[, bias]; bits of either may stand for -1 and +1."""
    x, w, *rest = inputs
    x = 2 * x - 1 if attrs["inputSigns"] else x
    w = 2 * w - 1 if attrs["weightDataType"] == "BINARY" else w
    return [grouped_mvu(x, w, attrs["Groups"], attrs["Taps"], rest[0] if rest else 0)]

# SPDX-License-Identifier: Apache-2.0
"""Golden model of IntMvu: an integer matrix product with an optional bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def int_mvu(x: IntArray, w: IntArray, bias: IntArray | int = 0) -> IntArray:
    """Return x @ w + bias.

    Args:
        x: (.., MW) integers of at most 16 bits.
        w: (MW, MH) integers of at most 8 bits.
        bias: (MH,) integers or 0.

    Returns:
        (.., MH) exact sums.
    """
    # float64 sums integers below 2**53 exactly in any order, and fast.
    return (x.astype(np.float64) @ w.astype(np.float64)).astype(np.int64) + bias


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x, W[, bias]; the shapes say the rest."""
    x, w, *rest = inputs
    return [int_mvu(x, w, rest[0] if rest else 0)]

# SPDX-License-Identifier: Apache-2.0
"""Golden model of BinaryMvu: k-bit codes times +-1 weights, as sums and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def binary_mvu(x: IntArray, w: IntArray) -> IntArray:
    """Return the sum of x over the taps of weight +1 minus its sum over those of weight -1.

    Args:
        x: (.., MW) codes 0..2**k-1, k at most 8.
        w: (MW, MH) bits, 0 meaning -1 and 1 meaning +1.

    Returns:
        (.., MH) exact sums, int64.
    """
    # float64 sums integers below 2**53 exactly in any order, and fast.
    xf, wf = x.astype(np.float64), w.astype(np.float64)
    return (xf @ wf - xf @ (1.0 - wf)).astype(np.int64)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x, W; the shapes say the rest."""
    x, w = inputs
    return [binary_mvu(x, w)]

# SPDX-License-Identifier: Apache-2.0
"""Golden model of XnorMvu: a matrix product of +-1 values, written as popcounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def xnor_mvu(x: IntArray, w: IntArray) -> IntArray:
    """Return 2*popcount(xnor(x, w)) - MW for every output.

    Args:
        x: (.., MW) bits, 0 meaning -1 and 1 meaning +1.
        w: (MW, MH) bits, same code.

    Returns:
        (.., MH) sums of +-1 products, -MW..MW.
    """
    # popcount(xnor) = x.w + (1-x).(1-w); float64 sums integers below 2**53 exactly, and fast.
    xf, wf = x.astype(np.float64), w.astype(np.float64)
    agree = xf @ wf + (1.0 - xf) @ (1.0 - wf)
    return (2.0 * agree - x.shape[-1]).astype(np.int64)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x, W; the shapes say the rest."""
    x, w = inputs
    return [xnor_mvu(x, w)]

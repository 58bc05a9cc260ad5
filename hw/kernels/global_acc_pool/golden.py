# SPDX-License-Identifier: Apache-2.0
"""Golden of GlobalAccPool: sums over all pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def global_sum(x: IntArray) -> IntArray:
    """Sum x (N, H, W, C) over H and W: (N, 1, 1, C)."""
    return x.sum(axis=(1, 2), keepdims=True)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """GlobalAccPool."""
    return [global_sum(inputs[0])]

# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamFlatten: a map as one vector, pixels behind one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamFlatten: (N, H, W, C) -> (N, 1, 1, H*W*C)."""
    return [inputs[0].reshape(len(inputs[0]), 1, 1, -1).copy()]

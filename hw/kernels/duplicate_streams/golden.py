# SPDX-License-Identifier: Apache-2.0
"""Golden of DuplicateStreams: every output is the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """DuplicateStreams: ``NumOutputStreams`` copies."""
    return [inputs[0].copy() for _ in range(attrs["NumOutputStreams"])]

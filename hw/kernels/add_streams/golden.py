# SPDX-License-Identifier: Apache-2.0
"""Golden of AddStreams: the sum of several streams, each times a constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def add_streams(streams: Sequence[IntArray], factors: Sequence[int]) -> IntArray:
    """Return the sum of ``factors[s] * streams[s]``, exactly."""
    total = streams[0] * factors[0]
    for x, factor in zip(streams[1:], factors[1:], strict=True):
        total = total + x * factor
    return total


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """AddStreams."""
    return [add_streams(inputs, [int(f) for f in attrs["factors"]])]

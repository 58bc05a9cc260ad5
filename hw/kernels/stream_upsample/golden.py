# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamUpsample: every pixel becomes a rectangle of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def upsample(x: IntArray, scale: Sequence[int], phases: bool) -> IntArray:
    """Turn x (N, H, W, C) into y (N, H*Sy, W*Sx, C): y[Sy*i + dy, Sx*j + dx, c] = x[i, j, c].

    With ``phases`` x has Sy*Sx times the channels, those of a place side by side:
    y[Sy*i + dy, Sx*j + dx, c] = x[i, j, (c*Sy + dy)*Sx + dx].
    """
    if not phases:
        return x.repeat(scale[0], axis=1).repeat(scale[1], axis=2)
    batch, height, width, _ = x.shape
    places = x.reshape(batch, height, width, -1, *scale).transpose(0, 1, 4, 2, 5, 3)
    return places.reshape(batch, height * scale[0], width * scale[1], -1)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamUpsample."""
    return [upsample(inputs[0], attrs["Scale"], bool(attrs["phases"]))]

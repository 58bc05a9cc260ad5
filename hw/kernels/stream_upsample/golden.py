# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamUpsample: every pixel becomes a rectangle of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def upsample(x: IntArray, scale: Sequence[int], phases: int) -> IntArray:
    """Turn x (N, H, W, C) into y (N, H*Sy, W*Sx, C): y[Sy*i + dy, Sx*j + dx, c] = x[i, j, c].

    With ``phases`` x has Sy*Sx times the channels, C: values for each place. They are
    x[i, j, (c*Sy + dy)*Sx + dx] for phases of 1, and x[i, j, (dy*Sx + dx)*C + c] for 2.
    """
    if not phases:
        return x.repeat(scale[0], axis=1).repeat(scale[1], axis=2)
    batch, height, width, _ = x.shape
    if phases == 1:
        places = x.reshape(batch, height, width, -1, *scale).transpose(0, 1, 4, 2, 5, 3)
    else:
        places = x.reshape(batch, height, width, *scale, -1).transpose(0, 1, 3, 2, 4, 5)
    return places.reshape(batch, height * scale[0], width * scale[1], -1)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamUpsample."""
    return [upsample(inputs[0], attrs["Scale"], attrs["phases"])]

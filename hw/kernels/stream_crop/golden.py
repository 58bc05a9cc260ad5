# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamCrop: a picture without its borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def crop(x: IntArray, borders: Sequence[int]) -> IntArray:
    """Cut the borders [top, left, bottom, right] off x (N, H, W, C)."""
    top, left, bottom, right = borders
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamCrop."""
    return [crop(inputs[0], attrs["Crop"])]

# SPDX-License-Identifier: Apache-2.0
"""Golden model of FMPadding: a border of code 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def pad(x: IntArray, padding: Sequence[int]) -> IntArray:
    """Pad (N, H, W, C) with code 0: ``padding`` = [top, left, bottom, right]."""
    top, left, bottom, right = padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op."""
    return [pad(inputs[0], attrs["Padding"])]

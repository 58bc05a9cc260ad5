# SPDX-License-Identifier: Apache-2.0
"""Golden model of SignedThresholding: steps up and down at thresholds, per channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def signed_thresholding(
    x: IntArray, thresholds: IntArray, steps: IntArray, base: IntArray
) -> IntArray:
    """Return base[c] + sum over i of steps[c, i] * [x[.., c] >= thresholds[c, i]].

    Args:
        x: (..., C) integers.
        thresholds: (C, n) integers, in any order.
        steps: (C, n) of -1 and +1.
        base: (C,) the code below every threshold.
    """
    codes = np.broadcast_to(base, x.shape).astype(np.int64)
    for threshold, step in zip(thresholds.T, steps.T, strict=True):
        codes += step * (x >= threshold)
    return codes


def encode(codes: IntArray, encoding: str) -> IntArray:
    """Return codes 0..N as they are streamed: ``code`` itself; ``onehot``, bit i-1 = [code = i];
    ``thermometer``, bit i-1 = [code >= i].

    Raises:
        ValueError: another encoding.
    """
    if encoding == "code":
        return codes
    if encoding == "onehot":
        return np.left_shift(1, codes) >> 1
    if encoding == "thermometer":
        return np.left_shift(1, codes) - 1
    raise ValueError(f"found encoding {encoding!r}, expected code, onehot or thermometer")


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x (.., C), thresholds (C, n), steps (C, n), base (C,)."""
    return [encode(signed_thresholding(*inputs), attrs["encoding"])]

# SPDX-License-Identifier: Apache-2.0
"""Which element every element of a nearest Resize or Upsample is a copy of, as ONNX defines it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

HALF = Fraction(1, 2)
MODES = ("asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
         "tf_half_pixel_for_nn", "align_corners")  # fmt: skip
"""Coordinate modes that are read; ``tf_crop_and_resize`` takes a part of the map."""


def convention(op: str, version: int, attributes: Mapping[str, Any]) -> tuple[str, str]:
    """Return (coordinate mode, rounding) of a node; before opset 11 there were no others."""
    if op == "Upsample" or version < 11:
        return "asymmetric", "floor"
    return (
        str(attributes.get("coordinate_transformation_mode", "half_pixel")),
        str(attributes.get("nearest_mode", "round_prefer_floor")),
    )


def sources(size: int, out: int, scale: Fraction, mode: str, rounding: str) -> list[int] | None:
    """Return the index in ``size`` elements that each of ``out`` is a copy of; None where the mode
    or the rounding is unknown."""
    if mode not in MODES:
        return None
    found = []
    for i in range(out):
        if mode == "asymmetric":
            at = i / scale
        elif mode == "align_corners":
            at = Fraction(i * (size - 1), out - 1) if out > 1 else Fraction(0)
        elif mode == "tf_half_pixel_for_nn":
            at = (i + HALF) / scale
        elif mode == "pytorch_half_pixel" and out == 1:
            at = Fraction(0)
        else:
            at = (i + HALF) / scale - HALF
        if mode == "half_pixel_symmetric":
            # The map keeps its middle where the size that was asked for is no whole one.
            at += Fraction(size, 2) * (1 - out / (scale * size))
        index = _rounded(at, rounding)
        if index is None:
            return None
        found.append(min(max(index, 0), size - 1))
    return found


def _rounded(at: Fraction, rounding: str) -> int | None:
    if rounding == "floor":
        return math.floor(at)
    if rounding == "ceil":
        return math.ceil(at)
    if rounding == "round_prefer_floor":
        return math.ceil(at - HALF)
    return math.floor(at + HALF) if rounding == "round_prefer_ceil" else None

# SPDX-License-Identifier: Apache-2.0
"""Kernels of the exact evaluator that move pixels or mix neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from .reference_value import Value
from .resizing import sources


def resize(v: list[Value], attributes: Mapping[str, Any]) -> Value | None:
    """Copies of pixels, by scales or sizes, the last input; None where that is not all."""
    x, last = v[0], v[-1] if len(v) > 1 else Value(np.array(attributes.get("scales", ())))
    mode = attributes.get("coordinate_transformation_mode", "asymmetric")
    rounding = attributes.get("nearest_mode", "floor")
    way = attributes.get("mode", "nearest")
    if way not in ("nearest", "linear") or "axes" in attributes:
        return None
    if last.values.size != x.codes.ndim or "keep_aspect_ratio_policy" in attributes:
        return None
    codes = x.codes
    scales = [
        Fraction(told) if last.codes.dtype.kind == "f" else Fraction(told, size)
        for size, told in zip(codes.shape, last.values.tolist(), strict=True)
    ]
    if way == "linear":
        return _linear_resize(x, scales, mode)
    for axis, (size, scale) in enumerate(zip(codes.shape, scales, strict=True)):
        copies = sources(size, int(scale * size), scale, mode, rounding)
        if copies is None:
            return None
        codes = np.take(codes, copies, axis)
    return Value(codes, x.step)


def _linear_resize(x: Value, scales: list[Fraction], mode: str) -> Value | None:
    """Two neighbours along each axis, whole factors: sums of codes, of a finer step, or of values
    as they are."""
    if mode not in ("half_pixel", "pytorch_half_pixel", "asymmetric"):
        return None
    if any(scale.denominator != 1 for scale in scales):
        return None
    codes, below = x.codes, 1
    for axis, factor in enumerate(int(scale) for scale in scales):
        size = codes.shape[axis]
        # Half pixels of the result: at = (2i + 1 - factor) / (2 factor), whole part and rest.
        places = 2 * np.arange(size * factor) + 1 - factor
        places = 2 * np.arange(size * factor) if mode == "asymmetric" else places
        low, rest = places // (2 * factor), places % (2 * factor)
        near, far = (np.take(codes, np.clip(low + k, 0, size - 1), axis) for k in (0, 1))
        weight = rest.reshape(-1, *(1,) * (codes.ndim - 1 - axis))
        codes, below = near * (2 * factor - weight) + far * weight, below * 2 * factor
    return Value(codes / below) if x.step is None else Value(codes, x.step / below)


def depth_to_space(v: list[Value], attributes: Mapping[str, Any]) -> Value:
    """Channels become pixels."""
    n, c, h, w = v[0].codes.shape
    side = attributes["blocksize"]
    c //= side * side
    if attributes.get("mode", "DCR") == "DCR":
        tiles = v[0].codes.reshape(n, side, side, c, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        tiles = v[0].codes.reshape(n, c, side, side, h, w).transpose(0, 1, 4, 2, 5, 3)
    return Value(tiles.reshape(n, c, h * side, w * side), v[0].step)


def pad(v: list[Value], attributes: Mapping[str, Any]) -> Value | None:
    """A constant border of codes; other borders are moved values."""
    x = v[0]
    if attributes.get("mode", "constant") != "constant" or x.step is None or len(v) != 3:
        return None
    pads = v[1].values.astype(np.int64).reshape(2, -1)
    fill = float(v[2].values.reshape(())) / float(x.step)
    if pads.shape[1] != x.codes.ndim or pads.min() < 0 or fill != np.rint(fill):
        return None
    return Value(np.pad(x.codes, pads.T, constant_values=fill), x.step)

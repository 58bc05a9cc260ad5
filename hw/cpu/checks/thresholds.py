# SPDX-License-Identifier: Apache-2.0
"""Steps that compare with thresholds or look codes up: layouts, and the codes they can give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..plan import BYTE_CODES, MAX_LEVELS, PARAM_LANES, THRESHOLD_LANES, ModelError, round_up
from .site import INT32, Range, Site, union

IntArray = npt.NDArray[np.int64]

CHUNK = 1 << 18
"""Thresholds that are looked at together: the check takes little memory whatever the file holds."""


def sign(s: Site) -> list[Range]:
    """One bit per byte."""
    s.arity((1,), 1, 2)
    s.attributes(())
    s.same()
    s.stores(s.inputs[0], "i8")
    s.stores(s.outputs[0], "bits")
    channels = s.inputs[0].channels
    lanes = round_up(channels, THRESHOLD_LANES)
    s.constant(0, (lanes,), np.int8)
    s.constant(1, (lanes // 8,), np.uint8)
    always = np.unpackbits(s.constants[1], bitorder="little")
    # Bits behind the last channel of a pixel are 0, for products count on it.
    if (s.constants[0][channels:] != 127).any() or always[channels:].any():
        raise ModelError(f"{s.where}: it sets bits behind the last channel; pack it again")
    return [(0, 1)]


def thresholds(s: Site) -> list[Range]:
    """base + number of thresholds not above an accumulator"""
    s.arity((1,), 1, 1)
    steps, base = s.attributes(("steps", "base"))
    s.within("steps", 1, MAX_LEVELS)
    s.within("base", -(1 << 30), 1 << 30)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.constant(0, (s.inputs[0].channels, steps), np.int32)
    return [(base, base + steps)]


def levels(s: Site) -> list[Range]:
    """Codes of bytes: steps up and down, modulo 256."""
    s.arity((1,), 1, 3)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS)
    s.same()
    s.stores(s.inputs[0], "i8")
    s.stores(s.outputs[0], "u8", "i8")
    lanes = round_up(s.inputs[0].channels, THRESHOLD_LANES)
    s.constant(0, (count, lanes), np.int8)
    s.constant(1, (count, lanes), np.uint8)
    s.constant(2, (lanes,), np.uint8)
    return [_reached(s, _bytes(s), *s.constants)]


def acc_levels(s: Site) -> list[Range]:
    """The same of accumulators, in 32 bits."""
    s.arity((1,), 1, 3)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "u8", "i8")
    lanes = round_up(s.inputs[0].channels, PARAM_LANES)
    s.constant(0, (count, lanes), np.int32)
    s.constant(1, (count, lanes), np.int32)
    s.constant(2, (lanes,), np.int32)
    for _, steps, base in _chunks(*s.constants):
        # The kernel adds in the order of the file: any of the steps may come first.
        low = base + np.minimum(steps, 0).sum(axis=0)
        high = base + np.maximum(steps, 0).sum(axis=0)
        s.fits("sums of steps", int(low.min()), int(high.max()))
    return [_reached(s, _as_it_is, *s.constants)]


def search_levels(s: Site) -> list[Range]:
    """Codes of accumulators that are searched among their channel's thresholds."""
    s.arity((1,), 1, 2)
    (bits,) = s.attributes(("bits",))
    s.within("bits", 1, (MAX_LEVELS - 1).bit_length())
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "u8", "i8")
    lanes = round_up(s.inputs[0].channels, PARAM_LANES)
    s.constant(0, (lanes, 1 << bits), np.int32)
    s.constant(1, (lanes, 1 << bits), np.uint8)
    codes = _bytes(s)(s.constants[1][: s.inputs[0].channels])
    return [(int(codes.min()), int(codes.max()))]


def wide_levels(s: Site) -> list[Range]:
    """The same for inputs and codes of any width: thresholds not above an input count."""
    s.arity((1,), 1, 3)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    channels = s.inputs[0].channels
    s.constant(0, (channels, count), np.int32)
    s.constant(1, (channels, count), np.int32)
    s.constant(2, (channels,), np.int32)
    reached, steps, base = s.constants
    return [_reached(s, _as_it_is, reached.T, steps.T, base, at=1)]


def lookup(s: Site) -> list[Range]:
    """A table over byte codes."""
    s.arity((1,), 1, 1)
    (count,) = s.attributes(("levels",))
    s.within("levels", 1, BYTE_CODES)
    s.same()
    s.stores(s.inputs[0], "u8")
    s.stores(s.outputs[0], "u8", "i32")
    # An entry for every byte there is: no code can reach behind the table.
    s.constant(0, (BYTE_CODES,), np.uint8 if s.outputs[0].storage == "u8" else np.int32)
    low, high = s.ranges[0]
    s.fits("codes", low, high, (0, count - 1))
    seen = s.constants[0][low : high + 1]
    return [(int(seen.min()), int(seen.max()))]


def _bytes(s: Site) -> Callable[[IntArray], IntArray]:
    """Return how the bytes of the output are read."""
    signed = s.outputs[0].storage == "i8"

    def read(codes: IntArray) -> IntArray:
        low = codes & 255
        return low - 256 * (low > 127) if signed else low

    return read


def _as_it_is(codes: IntArray) -> IntArray:
    return codes


def _chunks(
    bounds: npt.NDArray[Any], steps: npt.NDArray[Any], base: npt.NDArray[Any]
) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yield thresholds (count, C), steps (count, C) and bases (C,) of a few channels at a time."""
    size = max(1, CHUNK // len(bounds))
    for start in range(0, bounds.shape[1], size):
        part = slice(start, start + size)
        yield (
            bounds[:, part].astype(np.int64),
            steps[:, part].astype(np.int64),
            base[part].astype(np.int64),
        )


def _reached(
    s: Site,
    read: Callable[[IntArray], IntArray],
    bounds: npt.NDArray[Any],
    steps: npt.NDArray[Any],
    base: npt.NDArray[Any],
    *,
    at: int = 0,
) -> Range:
    """Return the range of base + the steps whose bound lies below x, for the inputs x there are.

    Args:
        s: the step.
        read: what is stored of a sum.
        bounds: (count, C).
        steps: (count, C).
        base: (C,).
        at: 1 where a step is taken at its bound already.
    """
    low, high = s.ranges[0]
    found: list[Range] = []
    for limit, step, start in _chunks(bounds, steps, base):
        order = np.argsort(limit, axis=0, kind="stable")
        limit = np.take_along_axis(limit, order, axis=0) - at
        sums = np.cumsum(np.take_along_axis(step, order, axis=0), axis=0)
        codes = read(np.concatenate([start[None], start + sums]))
        # Between two neighbours of the sorted bounds one code holds, if any input lies there.
        first = np.pad(limit + 1, ((1, 0), (0, 0)), constant_values=INT32[0])
        last = np.pad(limit, ((0, 1), (0, 0)), constant_values=INT32[1])
        there = np.maximum(first, low) <= np.minimum(last, high)
        found.append((int(codes[there].min()), int(codes[there].max())))
    return union(*found)

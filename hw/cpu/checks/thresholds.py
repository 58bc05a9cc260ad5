# SPDX-License-Identifier: Apache-2.0
"""Steps that compare with thresholds or look codes up, and the codes they can give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..plan import BYTE_CODES, MAX_LEVELS, ModelError, round_up
from .site import INT32, Range, Site, union

IntArray = npt.NDArray[np.int64]

CHUNK = 1 << 18
"""Thresholds that are looked at together: the check takes little memory whatever the file holds."""


def sign(s: Site) -> list[Range]:
    """One bit per byte: x > bound, or always.

    Constants:
        bound: int8 (channels,).
        always: uint8 (channels / 8 rounded up,), channel c is bit c % 8 of byte c // 8; bits
            behind the last channel are 0.
    """
    s.arity((1,), 1, 2)
    s.attributes(())
    s.same()
    s.stores(s.inputs[0], "i8")
    s.stores(s.outputs[0], "bits")
    channels = s.inputs[0].channels
    s.constant(0, (channels,), np.int8)
    s.constant(1, (round_up(channels, 8) // 8,), np.uint8)
    # Bits behind the last channel of a pixel are 0, for products count on it.
    if np.unpackbits(s.constants[1], bitorder="little")[channels:].any():
        raise ModelError(f"{s.where}: it sets bits behind the last channel; pack it again")
    return [(0, 1)]


def thresholds(s: Site) -> list[Range]:
    """base + number of thresholds not above an accumulator.

    Constants:
        thresholds: int32 (channels, steps), in any order.
    """
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
    """Codes of bytes: base + the steps whose bound lies below x, modulo 256.

    Constants:
        bounds: int8 (steps, channels), in any order.
        steps: uint8 (steps, channels), -1 as 255.
        base: uint8 (channels,).
    """
    s.arity((1,), 1, 3)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS)
    s.same()
    s.stores(s.inputs[0], "i8")
    s.stores(s.outputs[0], "u8", "i8")
    channels = s.inputs[0].channels
    s.constant(0, (count, channels), np.int8)
    s.constant(1, (count, channels), np.uint8)
    s.constant(2, (channels,), np.uint8)
    return [_reached(s, _bytes(s), *s.constants)]


def acc_levels(s: Site) -> list[Range]:
    """The same of accumulators, summed in 32 bits; the low byte is stored.

    Constants:
        bounds: int32 (steps, channels), in any order.
        steps: int32 (steps, channels).
        base: int32 (channels,).
    """
    s.arity((1,), 1, 3)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "u8", "i8")
    channels = s.inputs[0].channels
    s.constant(0, (count, channels), np.int32)
    s.constant(1, (count, channels), np.int32)
    s.constant(2, (channels,), np.int32)
    for _, steps, base in _chunks(*s.constants):
        # The kernel adds in the order of the file: any of the steps may come first.
        low = base + np.minimum(steps, 0).sum(axis=0)
        high = base + np.maximum(steps, 0).sum(axis=0)
        s.fits("sums of steps", int(low.min()), int(high.max()))
    return [_reached(s, _as_it_is, *s.constants)]


def search_levels(s: Site) -> list[Range]:
    """Codes of accumulators that are searched among their channel's thresholds.

    Constants:
        thresholds: int32 (channels, steps), each row ascending; equal ones stand side by side.
        codes: uint8 (channels, steps + 1), entry n for inputs that n thresholds are not above.
            A kernel that fills thresholds up repeats the last code behind them.
    """
    s.arity((1,), 1, 2)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS - 1)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "u8", "i8")
    channels = s.inputs[0].channels
    s.constant(0, (channels, count), np.int32)
    s.constant(1, (channels, count + 1), np.uint8)
    if (s.constants[0][:, 1:] < s.constants[0][:, :-1]).any():
        raise ModelError(f"{s.where}: its thresholds do not ascend; pack it again")
    codes = _bytes(s)(s.constants[1])
    return [(int(codes.min()), int(codes.max()))]


def wide_levels(s: Site) -> list[Range]:
    """Codes of any width from inputs of any width: base + the steps whose threshold x reaches.

    Constants:
        thresholds: int32 (channels, steps), in any order.
        steps: int32 (channels, steps).
        base: int32 (channels,).
    """
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
    """A table over byte codes.

    Constants:
        table: uint8 or int32 (256,), as the output is stored; entries from ``levels`` on are 0.
    """
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

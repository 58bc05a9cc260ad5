# SPDX-License-Identifier: Apache-2.0
"""Steps that compare with thresholds or look codes up, and the codes they can give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ....quant.affine_steps import Affine, affine_of
from ....quant.grid import IntArray
from ..packer import Node, Packer
from ..plan import BYTE_CODES, MAX_LEVELS, DataType, ModelError, round_up
from . import rounding
from .site import INT8, INT32, Check, Range, Site, union

MAX_COMPARED = 63
"""Thresholds up to here are compared one by one; more are searched."""

LEAST_OF_LINE = 16
"""Thresholds from which on a product is tried in their place."""

CHUNK = 1 << 18
"""Thresholds that are looked at together: the check takes little memory whatever the file holds."""


def within_input(p: Packer, node: Node, index: int, thresholds: IntArray) -> IntArray:
    """Return thresholds that act the same, between the smallest input and the largest + 1.

    One outside the input's range acts like the nearest one that is never or always met. Lower
    ones need not be told apart from the lowest; higher ones need the value above the range.
    """
    low, high = p.types[index].low, p.types[index].high
    if high == INT32[1]:
        raise ModelError(f"{node.where}: found INT32 input, expected at most INT31")
    return thresholds.clip(low, high + 1)


def sign(p: Packer, node: Node, index: int, out: int, thresholds: IntArray) -> None:
    """Add x >= threshold of a tensor in i8, as bits; ``thresholds`` (C,) lie in -128..128."""
    constants = {
        "bound": np.maximum(thresholds - 1, -128).astype(np.int8),
        "always": np.packbits(thresholds == -128, bitorder="little"),
    }
    p.step("sign", node.name, [index], [out], {}, constants)


def check_sign(s: Site) -> list[Range]:
    """One bit per byte: x > bound, or always.

    Constants:
        bound: int8 (channels,).
        always: uint8 (channels / 8 rounded up,), channel c is bit c % 8 of byte c // 8; bits
            behind the last channel are 0.
    """
    s.arity((1,), 1, ("bound", "always"))
    s.attributes(())
    s.same()
    s.stores(s.inputs[0], "i8")
    s.stores(s.outputs[0], "bits")
    channels = s.inputs[0].channels
    s.constant("bound", (channels,), np.int8)
    always = s.constant("always", (round_up(channels, 8) // 8,), np.uint8)
    # Bits behind the last channel of a pixel are 0, for products count on it.
    if np.unpackbits(always, bitorder="little")[channels:].any():
        raise ModelError(f"{s.where}: it sets bits behind the last channel; pack it again")
    return [(0, 1)]


def count_thresholds(
    p: Packer, node: Node, index: int, out: int, thresholds: IntArray, base: int
) -> None:
    """Add base + the number of ``thresholds`` (C, n) that x reaches; all in 32 bits."""
    attributes = {"steps": thresholds.shape[1], "base": base}
    constants = {"thresholds": thresholds.astype(np.int32)}
    p.step("thresholds", node.name, [index], [out], attributes, constants)


def check_thresholds(s: Site) -> list[Range]:
    """base + number of thresholds not above an accumulator.

    Constants:
        thresholds: int32 (channels, steps), in any order.
    """
    s.arity((1,), 1, ("thresholds",))
    steps, base = s.attributes(("steps", "base"))
    s.within("steps", 1, MAX_LEVELS)
    s.within("base", -(1 << 30), 1 << 30)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.constant("thresholds", (s.inputs[0].channels, steps), np.int32)
    return [(base, base + steps)]


def step_levels(
    p: Packer,
    node: Node,
    index: int,
    out: int,
    thresholds: IntArray,
    steps: IntArray,
    base: IntArray,
) -> None:
    """Add codes that step up and down at thresholds, by the step that is fastest for them.

    Args:
        p: the plan.
        node: what the step belongs to.
        index: tensor of the inputs, which end below the largest integer of 32 bits.
        out: tensor of the codes, in bytes or 32 bits.
        thresholds: (C, n), in any order, between the smallest input and the largest + 1.
        steps: (C, n) of -1 and +1, taken by inputs that reach the threshold.
        base: (C,) the code below every threshold.
    """
    count = thresholds.shape[1]
    source, storage = p.at(index).storage, p.at(out).storage
    found = line_of(p, index, out, thresholds, steps, base)
    if found is not None:
        rounding.affine(p, node, index, out, found)
        return
    constants: dict[str, npt.NDArray[Any]]
    if storage == "i32":
        op, source = "wide_levels", "i32"
        constants = _as({"thresholds": thresholds, "steps": steps, "base": base}, np.int32)
    elif source == "i8":
        op = "levels"
        constants = {
            name: values.astype(np.int8 if name == "bounds" else np.uint8)
            for name, values in _compared(thresholds, steps, base, *INT8).items()
        }
    elif count <= MAX_COMPARED:
        op, source = "acc_levels", "i32"
        inputs = p.types[index]
        constants = _as(_compared(thresholds, steps, base, inputs.low, inputs.high), np.int32)
    else:
        op, source = "search_levels", "i32"
        constants = _searched(thresholds, steps, base)
    p.step(op, node.name, [p.stored(index, source)], [out], {"steps": count}, constants)


def line_of(
    p: Packer, index: int, out: int, thresholds: IntArray, steps: IntArray, base: IntArray
) -> Affine | None:
    """Return what gives the same bytes by a product, where thresholds are many and there is one;
    see `step_levels`."""
    if thresholds.shape[1] < LEAST_OF_LINE or p.at(out).storage not in ("u8", "i8"):
        return None
    return affine_of(thresholds, steps, base, *p.ends(index))


def _as(
    constants: dict[str, npt.NDArray[Any]], dtype: npt.DTypeLike
) -> dict[str, npt.NDArray[Any]]:
    return {name: values.astype(dtype) for name, values in constants.items()}


def _compared(
    thresholds: IntArray, steps: IntArray, base: IntArray, low: int, high: int
) -> dict[str, npt.NDArray[Any]]:
    """Return thresholds for compare-and-add: x > bound, which no input is below."""
    # What is always reached has no bound below it: it goes into the base.
    always = thresholds <= low
    return {
        "bounds": np.where(always, high, thresholds - 1).T,
        "steps": steps.T,
        "base": base + (always * steps).sum(axis=1),
    }


def _searched(thresholds: IntArray, steps: IntArray, base: IntArray) -> dict[str, npt.NDArray[Any]]:
    """Return ascending thresholds, and the code behind every number of them."""
    order = np.argsort(thresholds, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(steps, order, 1), axis=1)
    codes = np.pad(sums, ((0, 0), (1, 0))) + base[:, None]
    return {
        "thresholds": np.take_along_axis(thresholds, order, 1).astype(np.int32),
        "codes": codes.astype(np.uint8),
    }


def check_levels(s: Site) -> list[Range]:
    """Codes of bytes: base + the steps whose bound lies below x, modulo 256.

    Constants:
        bounds: int8 (steps, channels), in any order.
        steps: uint8 (steps, channels), -1 as 255.
        base: uint8 (channels,).
    """
    count, channels = _levels(s, ("i8",), ("u8", "i8"), ("bounds", "steps", "base"))
    bounds = s.constant("bounds", (count, channels), np.int8)
    steps = s.constant("steps", (count, channels), np.uint8)
    base = s.constant("base", (channels,), np.uint8)
    return [_reached(s, _bytes(s), bounds, steps, base)]


def check_acc_levels(s: Site) -> list[Range]:
    """The same of accumulators, summed in 32 bits; the low byte is stored.

    Constants:
        bounds: int32 (steps, channels), in any order.
        steps: int32 (steps, channels).
        base: int32 (channels,).
    """
    count, channels = _levels(s, ("i32",), ("u8", "i8"), ("bounds", "steps", "base"))
    bounds = s.constant("bounds", (count, channels), np.int32)
    steps = s.constant("steps", (count, channels), np.int32)
    base = s.constant("base", (channels,), np.int32)
    for _, step, start in _chunks(bounds, steps, base):
        # The kernel adds in the order of the file: any of the steps may come first.
        low = start + np.minimum(step, 0).sum(axis=0)
        high = start + np.maximum(step, 0).sum(axis=0)
        s.fits("sums of steps", int(low.min()), int(high.max()))
    return [_reached(s, _as_it_is, bounds, steps, base)]


def check_search_levels(s: Site) -> list[Range]:
    """Codes of accumulators that are searched among their channel's thresholds.

    Constants:
        thresholds: int32 (channels, steps), each row ascending; equal ones stand side by side.
        codes: uint8 (channels, steps + 1), entry n for inputs that n thresholds are not above.
            A kernel that fills thresholds up repeats the last code behind them.
    """
    count, channels = _levels(s, ("i32",), ("u8", "i8"), ("thresholds", "codes"))
    s.within("steps", 1, MAX_LEVELS - 1)
    thresholds = s.constant("thresholds", (channels, count), np.int32)
    codes = _bytes(s)(s.constant("codes", (channels, count + 1), np.uint8))
    if (thresholds[:, 1:] < thresholds[:, :-1]).any():
        raise ModelError(f"{s.where}: its thresholds do not ascend; pack it again")
    return [(int(codes.min()), int(codes.max()))]


def check_wide_levels(s: Site) -> list[Range]:
    """Codes of any width from inputs of any width: base + the steps whose threshold x reaches.

    Constants:
        thresholds: int32 (channels, steps), in any order.
        steps: int32 (channels, steps).
        base: int32 (channels,).
    """
    count, channels = _levels(s, ("i32",), ("i32",), ("thresholds", "steps", "base"))
    reached = s.constant("thresholds", (channels, count), np.int32)
    steps = s.constant("steps", (channels, count), np.int32)
    base = s.constant("base", (channels,), np.int32)
    return [_reached(s, _as_it_is, reached.T, steps.T, base, at=1)]


def _levels(
    s: Site, read: tuple[str, ...], written: tuple[str, ...], constants: tuple[str, ...]
) -> tuple[int, int]:
    """Check what all steps of levels share; returns the numbers of thresholds and of channels."""
    s.arity((1,), 1, constants)
    (count,) = s.attributes(("steps",))
    s.within("steps", 1, MAX_LEVELS)
    s.same()
    s.stores(s.inputs[0], *read)
    s.stores(s.outputs[0], *written)
    return count, s.inputs[0].channels


def lookup(p: Packer, node: Node, index: int, out: int, table: IntArray) -> None:
    """Add what byte codes stand for; ``table`` holds an entry for each that occurs."""
    padded = np.zeros(BYTE_CODES, dtype=np.int64)
    padded[: len(table)] = table
    constants = {"table": padded.astype(np.uint8 if p.at(out).storage == "u8" else np.int32)}
    # As many as the codes' type has: a code without an entry gives 0 on every machine.
    attributes = {"levels": min(p.types[index].high + 1, BYTE_CODES)}
    p.step("lookup", node.name, [index], [out], attributes, constants)


def values_of(p: Packer, node: Node, index: int, table: IntArray) -> int:
    """Return the bytes that codes stand for, looked up at most once."""
    if np.array_equal(table, np.arange(len(table))):
        return index

    def look_up() -> int:
        out = p.tensor([], p.at(index).shape, DataType.of("UINT8", node.where))
        lookup(p, node, index, out, table)
        return out

    return p.once(("lookup", index, table.tobytes()), look_up)


def check_lookup(s: Site) -> list[Range]:
    """A table over byte codes.

    Constants:
        table: uint8 or int32 (256,), as the output is stored; entries from ``levels`` on are 0.
    """
    s.arity((1,), 1, ("table",))
    (count,) = s.attributes(("levels",))
    s.within("levels", 1, BYTE_CODES)
    s.same()
    s.stores(s.inputs[0], "u8")
    s.stores(s.outputs[0], "u8", "i32")
    # An entry for every byte there is: no code can reach behind the table.
    kind = np.uint8 if s.outputs[0].storage == "u8" else np.int32
    table = s.constant("table", (BYTE_CODES,), kind)
    low, high = s.ranges[0]
    s.fits("codes", low, high, (0, count - 1))
    seen = table[low : high + 1]
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


OPS: dict[str, Check] = {
    "sign": check_sign,
    "thresholds": check_thresholds,
    "levels": check_levels,
    "acc_levels": check_acc_levels,
    "search_levels": check_search_levels,
    "wide_levels": check_wide_levels,
    "lookup": check_lookup,
}

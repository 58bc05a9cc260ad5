# SPDX-License-Identifier: Apache-2.0
"""Steps that multiply, shift and saturate: no intermediate leaves its integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....quant.affine_steps import Affine
from ....quant.grid import IntArray
from ..packer import Node, Packer
from ..plan import STORAGE, DataType, ModelError
from .site import INT32, INT64, Check, Range, Site

Values = npt.NDArray[Any]

MOST_AFFINE_SHIFT = 52
"""Bits that are shifted away from a sum of 64, of which a byte is left."""
AFFINE_FACTORS = (-(1 << 47), (1 << 47) - 1)
"""Factors whose upper and lower parts have 32 bits."""

EPILOGUE = (
    "acc_shift", "shortcut_shift", "pre_shift", "slope_shift", "out_shift",
    "acc_low", "acc_high", "pre_low", "pre_high",
)  # fmt: skip
"""Attributes of an epilogue."""


@dataclass(frozen=True)
class Span:
    """The smallest and the largest value of an intermediate, for each channel."""

    low: Values
    high: Values

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Span) -> Span:
        return Span(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Span) -> Span:
        corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Span(np.minimum.reduce(corners), np.maximum.reduce(corners))

    def clip(self, low: int, high: int) -> Span:
        """Saturate."""
        return Span(self.low.clip(low, high), self.high.clip(low, high))

    def halved(self, shift: int) -> Span:
        """Shift ``shift`` bits away, downwards."""
        return Span(self.low >> shift, self.high >> shift)


def _epilogue_tensors(s: Site, narrow: str) -> None:
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], narrow)
    for shortcut in s.inputs[1:]:
        s.stores(shortcut, narrow)
    for kind in ("acc", "pre"):
        if s.step.attributes[f"{kind}_low"] > s.step.attributes[f"{kind}_high"]:
            raise ModelError(f"{s.where}: {kind}_low lies above {kind}_high")


def epilogue(
    p: Packer,
    node: Node,
    inputs: list[int],
    params: IntArray,
    attributes: Mapping[str, int],
    datatype: DataType,
) -> None:
    """Add BN, shortcut, RPReLU and rounding: in 32 bits where they are proven to do.

    Args:
        p: the plan.
        node: what the step belongs to; its output is added.
        inputs: accumulators in 32 bits, and the shortcut where there is one, of the same shape.
        params: (5, C), rows m, b, zeta, slope, eta.
        attributes: those of ``EPILOGUE``.
        datatype: of the output.
    """
    shape = p.at(inputs[0]).shape
    ranges = [(p.types[i].low, p.types[i].high) for i in inputs]
    if (
        datatype.name == "INT8"
        and all(p.at(i).storage == "i8" for i in inputs[1:])
        and _fits_32_bits(params, attributes, *ranges)
    ):
        out = p.result(node, shape, datatype, "i8")
        constants = {"params": params.astype(np.int32)}
        p.step("epilogue", node.name, inputs, [out], attributes, constants)
        return
    limits = {"out_low": datatype.low, "out_high": datatype.high}
    inputs = [p.stored(i, "i32") for i in inputs]
    out = p.result(node, shape, datatype, "i32")
    constants = {"params": params.astype(np.int64)}
    p.step("wide_epilogue", node.name, inputs, [out], {**attributes, **limits}, constants)
    p.finish(node, out)


def _fits_32_bits(
    params: IntArray, shifts: Mapping[str, int], acc: Range, shortcut: Range | None = None
) -> bool:
    """Whether every intermediate of an epilogue fits int32, from the ranges of its inputs.

    Bounds are computed in Python integers: nothing overflows on the way.
    """

    def half(shift: int) -> int:
        return 1 << (shift - 1) if shift else 0

    m, b, zeta, slope, eta = (np.abs(row).astype(object) for row in params)
    largest = max(abs(acc[0]), abs(acc[1])) + half(shifts["acc_shift"])
    seen = [largest]
    if shifts["acc_shift"]:
        largest = max(-shifts["acc_low"], shifts["acc_high"])
    y = largest * m + b + half(shifts["pre_shift"])
    if shortcut is not None:
        y = y + (max(abs(shortcut[0]), abs(shortcut[1])) << shifts["shortcut_shift"])
    u = max(-shifts["pre_low"], shifts["pre_high"]) + zeta
    # The two slopes bound |v| by u and, before its shift, by u * slope.
    v = np.maximum(u, u * slope) + eta + half(shifts["out_shift"])
    seen += [*y, *u, *v]
    return (
        all(int(s) <= INT32[1] for s in seen)
        and max(value for name, value in shifts.items() if name.endswith("shift")) <= 30
    )


def check_epilogue(s: Site) -> list[Range]:
    """BN, shortcut, RPReLU and 8 bits, in 32-bit integers.

    Constants:
        params: int32 (5, channels), rows m, b, zeta, slope, eta.
    """
    s.arity((1, 2), 1, ("params",))
    s.attributes(EPILOGUE)
    for name in EPILOGUE:
        s.within(name, *((0, 30) if name.endswith("shift") else INT32))
    _epilogue_tensors(s, "i8")
    rows = s.constant("params", (5, s.inputs[0].channels), np.int32).astype(np.int64)
    return [_epilogue_range(s, [Span(row, row) for row in rows], INT32, STORAGE["i8"])]


def check_wide_epilogue(s: Site) -> list[Range]:
    """The same in 64-bit integers, to any range.

    Constants:
        params: int64 (5, channels), rows m, b, zeta, slope, eta.
    """
    s.arity((1, 2), 1, ("params",))
    names = (*EPILOGUE, "out_low", "out_high")
    s.attributes(names)
    for name in names:
        if name.endswith("shift"):
            s.within(name, 0, 62)
    _epilogue_tensors(s, "i32")
    s.within("out_low", *INT32)
    s.within("out_high", s.step.attributes["out_low"], INT32[1])
    params = s.constant("params", (5, s.inputs[0].channels), np.int64)
    # Python's integers hold what 64 bits might not. One range over all channels keeps them few.
    rows = [
        Span(np.array([int(row.min())], object), np.array([int(row.max())], object))
        for row in params
    ]
    limits = s.step.attributes["out_low"], s.step.attributes["out_high"]
    return [_epilogue_range(s, rows, INT64, limits)]


def _epilogue_range(s: Site, rows: list[Span], limits: Range, out: Range) -> Range:
    """Follow the arithmetic of src/kernels/epilogue/scalar.cpp from its inputs' ranges.

    Args:
        s: the step.
        rows: m, b, zeta, slope, eta; 64-bit integers hold the products of what fits ``limits``,
            or they are Python's.
        limits: what the engine's integers hold.
        out: saturation of the result.
    """
    g = s.step.attributes
    kind = rows[0].low.dtype

    def span(low: int, high: int) -> Span:
        return Span(np.array([low], kind), np.array([high], kind))

    def held(what: str, values: Span) -> Span:
        s.fits(what, int(values.low.min()), int(values.high.max()), limits)
        return values

    def rounded(what: str, values: Span, shift: int) -> Span:
        half = 1 << (shift - 1) if shift else 0
        return held(what, values + span(half, half)).halved(shift)

    m, b, zeta, slope, eta = rows
    acc = span(*s.ranges[0])
    if g["acc_shift"]:
        acc = rounded("accumulators", acc, g["acc_shift"]).clip(g["acc_low"], g["acc_high"])
    y = held("sums", held("products", acc * m) + b)
    if len(s.ranges) > 1:
        scale = 1 << g["shortcut_shift"]
        low, high = s.ranges[1]
        s.fits("shortcut", low * scale, high * scale, limits)
        y = held("sums", y + span(low * scale, high * scale))
    t = rounded("sums", y, g["pre_shift"]).clip(g["pre_low"], g["pre_high"])
    u = held("differences", t - zeta)
    least = span(0, 0).low
    positive = Span(np.maximum(u.low, least), np.maximum(u.high, least))
    negative = Span(np.minimum(u.low, least), np.minimum(u.high, least))
    sloped = held("products", negative * slope).halved(g["slope_shift"])
    v = Span(np.minimum(positive.low, sloped.low), np.maximum(positive.high, sloped.high))
    result = rounded("sums", held("sums", v + eta), g["out_shift"]).clip(*out)
    return int(result.low.min()), int(result.high.max())


def requantise(
    p: Packer,
    node: Node,
    inputs: list[int],
    shift: int,
    shortcut_shift: int,
    datatype: DataType,
) -> None:
    """Add a rounding shift of sums plus shortcut: in 32 bits where they are proven to do.

    Args:
        p: the plan.
        node: what the step belongs to; its output is added.
        inputs: sums in 32 bits, and the shortcut where there is one, of the same shape.
        shift: bits that are rounded away.
        shortcut_shift: bits that the shortcut is shifted up.
        datatype: of the output, which saturates.
    """
    shape = p.at(inputs[0]).shape
    shifts = (0, shortcut_shift)
    largest = sum(
        max(-p.types[i].low, p.types[i].high) << s for i, s in zip(inputs, shifts, strict=False)
    )
    if (
        datatype.name == "INT8"
        and all(p.at(i).storage == "i8" for i in inputs[1:])
        and shift <= 30
        and largest + (1 << shift) <= INT32[1]
    ):
        out = p.result(node, shape, datatype, "i8")
        attributes = {"shift": shift, "shortcut_shift": shortcut_shift}
        p.step("requantise", node.name, inputs, [out], attributes)
        return
    attributes = {"shift": shift, "low": datatype.low, "high": datatype.high}
    if len(inputs) > 1:
        attributes["shortcut_shift"] = shortcut_shift
    inputs = [p.stored(i, "i32") for i in inputs]
    out = p.result(node, shape, datatype, "i32")
    p.step("shift", node.name, inputs, [out], attributes)
    p.finish(node, out)


def check_requantise(s: Site) -> list[Range]:
    """Shortcut, rounding shift and 8 bits, in 32-bit integers."""
    s.arity((1, 2), 1)
    shift, shortcut_shift = s.attributes(("shift", "shortcut_shift"))
    s.within("shift", 0, 30)
    s.within("shortcut_shift", 0, 30)
    s.same()
    s.stores(s.inputs[0], "i32")
    for shortcut in s.inputs[1:]:
        s.stores(shortcut, "i8")
    s.stores(s.outputs[0], "i8")
    low, high = s.ranges[0]
    for below, above in s.ranges[1:]:
        below, above = below << shortcut_shift, above << shortcut_shift
        s.fits("shortcut", below, above)
        low, high = low + below, high + above
        s.fits("sums", low, high)
    return [_shifted(s, low, high, shift, INT32, STORAGE["i8"])]


def check_shift(s: Site) -> list[Range]:
    """The same in 64-bit integers, to any range."""
    s.arity((1, 2), 1)
    names = ("low", "high", "shift", "shortcut_shift")
    low, high, amount, *_ = s.attributes(names[: 2 + len(s.inputs)])
    s.within("shift", 0, 62)
    s.within("low", *INT32)
    s.within("high", low, INT32[1])
    if len(s.inputs) > 1:
        s.within("shortcut_shift", 0, 30)
    s.same()
    for tensor in (*s.inputs, *s.outputs):
        s.stores(tensor, "i32")
    smallest, largest = s.ranges[0]
    for below, above in s.ranges[1:]:
        scale = s.step.attributes["shortcut_shift"]
        smallest, largest = smallest + (below << scale), largest + (above << scale)
    return [_shifted(s, smallest, largest, amount, INT64, (low, high))]


def _shifted(s: Site, low: int, high: int, shift: int, limits: Range, out: Range) -> Range:
    """Round ``shift`` bits away and saturate."""
    half = 1 << (shift - 1) if shift else 0
    s.fits("sums", low + half, high + half, limits)
    clip = [min(max((value + half) >> shift, out[0]), out[1]) for value in (low, high)]
    return clip[0], clip[1]


def affine(p: Packer, node: Node, index: int, out: int, found: Affine) -> None:
    """Add a product, a sum and a shift of each channel, of accumulators in 32 bits, to bytes."""
    attributes = {"shift": found.shift, "first": found.first, "last": found.last}
    constants = {"factors": found.factors, "summands": found.summands}
    p.step("affine", node.name, [p.stored(index, "i32")], [out], attributes, constants)


def check_affine(s: Site) -> list[Range]:
    """A product, a sum and a shift downwards, in 64-bit integers, within limits.

    Constants:
        factors: int64 (channels,), of 48 bits at most.
        summands: int64 (channels,).
    """
    s.arity((1,), 1, ("factors", "summands"))
    shift, first, last = s.attributes(("shift", "first", "last"))
    s.within("shift", 0, MOST_AFFINE_SHIFT)
    s.same()
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i8", "u8")
    limits = STORAGE[s.outputs[0].storage]
    s.within("first", *limits)
    s.within("last", first, limits[1])
    factors, summands = (
        s.constant(name, (s.inputs[0].channels,), np.int64).astype(object)
        for name in ("factors", "summands")
    )
    s.fits("factors", int(factors.min()), int(factors.max()), AFFINE_FACTORS)
    ends = [end * factors for end in s.ranges[0]]
    for values in (*ends, *(end + summands for end in ends)):
        s.fits("sums", int(values.min()), int(values.max()), INT64)
    codes = np.concatenate([(end + summands) >> shift for end in ends])
    return [(min(max(int(codes.min()), first), last), max(min(int(codes.max()), last), first))]


OPS: dict[str, Check] = {
    "affine": check_affine,
    "epilogue": check_epilogue,
    "wide_epilogue": check_wide_epilogue,
    "requantise": check_requantise,
    "shift": check_shift,
}

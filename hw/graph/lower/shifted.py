# SPDX-License-Identifier: Apache-2.0
"""Products of codes of which none stands for 0, such as pixels less a mean.

A window has ``sum of w * (code - zero)`` over the places inside the map. That is the product of the
codes with a border of 0, and a summand that depends on which places lie inside: a BorderBias, and
where that is the same for all pixels, the thresholds behind or a bias.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import onnx

from ....quant.grid import (
    ACCUMULATOR_BITS,
    ACCUMULATOR_LIMIT,
    SUM_LIMIT,
    IntArray,
    accumulator_bounds,
    smallest_signed,
)
from ..bisection import levels_of_table
from ..builder import Stream
from ..epilogue_pattern import rounded
from ..qonnx_graph import FloatArray, LoweringError, Steps, multiples, whole_steps
from ..tables import Table
from ..threshold_pattern import MAX_BITS, find_quantiser
from .matrix_vector import Product, matrix_vector, represented
from .product import found_levels, in_finer_steps, sums_of, within_type
from .state import Lowering, Meaning, layer_of, limits
from .thresholds import of_table, tabulated, thresholding
from .weights import bias_of

MAX_SUM = 1 << 62
"""Summands in parts of a step are smaller."""


@dataclass(frozen=True)
class Axis:
    """Rows or columns of a product's windows, by which positions of the kernel lie inside the map.

    ``runs``: how many have the same; ``inside``: (runs, kernel).
    """

    runs: list[int]
    inside: npt.NDArray[np.bool_]


ALONE = Axis([1], np.ones((1, 1), dtype=bool))
"""Of a vector, or of windows of one pixel."""


def axis_of(size: int, kernel: int, stride: int, dilation: int, before: int, behind: int) -> Axis:
    """Windows along an axis of ``size`` pixels with a border."""
    room = size + before + behind - (kernel - 1) * dilation - 1
    first = np.arange(max(room // stride + 1, 1)) * stride - before
    places = first[:, None] + np.arange(kernel) * dilation
    inside = (places >= 0) & (places < size)
    starts = np.flatnonzero(np.append(True, (inside[1:] != inside[:-1]).any(axis=1)))
    return Axis(np.diff(np.append(starts, len(inside))).tolist(), inside[starts])


@dataclass(frozen=True)
class Windows:
    """The windows of a product: their rows and columns, and the groups of their channels."""

    rows: Axis = ALONE
    columns: Axis = ALONE
    groups: int = 1
    border: Fraction = Fraction(0)
    """What stands outside of the map, in steps of the stream."""

    @property
    def inside(self) -> IntArray:
        """(places, positions of the kernel), 1 inside the map; places are pairs of runs."""
        both = self.rows.inside[:, None, :, None] & self.columns.inside[None, :, None, :]
        return both.reshape(len(self.rows.runs) * len(self.columns.runs), -1).astype(np.int64)


@dataclass(frozen=True)
class _Sums:
    """What the sums of the codes have less or more than the network's, at each place."""

    matrix: FloatArray
    """The weights, times the factors of their channels."""
    added: IntArray
    """(places, outputs) in parts of a step."""
    parts: int
    low: IntArray
    """(places, outputs) smallest sum of products, and the largest."""
    high: IntArray


def _sums(
    state: Lowering, node: onnx.NodeProto, x: Stream, matrix: FloatArray, windows: Windows
) -> _Sums:
    inside = windows.inside
    taps, outputs = inside.shape[1], matrix.shape[1]
    weights = matrix.reshape(taps, -1, outputs)
    below = math.lcm(windows.border.denominator, *(zero.denominator for zero in x.zeros))
    counted = [int(zero * below) for zero in x.zeros]
    outside = int(windows.border * below)
    most = max(abs(zero * factor) for zero, factor in zip(counted, x.factors, strict=True))
    most = max(most, abs(outside)) * int(np.abs(matrix).sum(axis=0).max())
    if most >= MAX_SUM:
        raise LoweringError(
            node,
            f"reads {x.name} shifted by {[float(z) for z in x.zeros]!s:.80}, which have no common "
            "step of few bits, expected decimals of few digits; use a quantiser of the input",
        )
    # Of every output the channels of its group.
    zeros, factors = (
        np.repeat(np.array(row).reshape(windows.groups, -1).T, outputs // windows.groups, axis=1)
        for row in (counted, x.factors)
    )
    borders = (weights.astype(np.int64) * outside).sum(axis=1)
    weights = weights * factors
    wide = int(np.abs(weights).sum(axis=(0, 1)).max()) * max(map(abs, represented(x)))
    if wide >= SUM_LIMIT and max(map(abs, x.factors)) > 1:
        raise LoweringError(
            node,
            f"reads channels of which one code stands for {list(x.factors)!s:.80} times a common "
            f"step: its accumulator reaches {wide}, expected less than {SUM_LIMIT}; use "
            "one std for all channels, or a quantiser of the input in front",
        )
    least, most_code = represented(x)
    above, under = weights.clip(min=0).sum(axis=1), weights.clip(max=0).sum(axis=1)
    return _Sums(
        weights.reshape(-1, outputs),
        (1 - inside) @ borders - inside @ (weights.astype(np.int64) * zeros).sum(axis=1),
        below,
        (inside @ (above * least + under * most_code)).astype(np.int64),
        (inside @ (above * most_code + under * least)).astype(np.int64),
    )


def accumulate_shifted(
    state: Lowering,
    node: onnx.NodeProto,
    x: Stream,
    shifted: Stream,
    matrix: FloatArray,
    scale: Steps,
    windows: Windows,
    multiply: Product = matrix_vector,
) -> None:
    """Lower a product together with the quantiser behind it, as `product.accumulate`.

    Args:
        state: the lowering.
        node: the product.
        x: what ``multiply`` reads: the codes, with a border of 0 where they have one.
        shifted: the codes with their zeros and factors.
        matrix: a column for each output.
        scale: of the weights.
        windows: which places lie inside the map.
        multiply: makes the accumulators.
    """
    state.claim(node)
    where, (accumulator,), outputs = layer_of(node), node.output, matrix.shape[1]
    step = shifted.scale * scale
    chain = find_quantiser(state.graph, accumulator)
    if chain and (step == 1).all() and rounded(state.graph, chain[-1]) == accumulator:
        chain = None
    if chain is None and step.size > 1:
        raise LoweringError(
            node,
            f"found one weight scale per output and no quantiser of at most {MAX_BITS} bits "
            "behind, expected one scale for all: it reads codes of which none stands for 0",
        )
    sums = _sums(state, node, shifted, matrix, windows)
    row = bias_of(state, node, outputs)
    offset = np.zeros(outputs) if row is None else row
    if chain is None:
        _exact(state, node, x, sums, step[0], windows, multiply, offset)
        return
    fine = Finer(sums.added, sums.parts)
    limit = fine.limit(sums)

    def tabulate(integers: IntArray) -> Table:
        counted, parts = fine.parts_of(integers)
        return tabulated(state, chain, outputs, -limit, sums_of(counted, step / parts, offset))

    found = found_levels(state, chain, outputs, limit, tabulate, fine.count)
    levels = levels_of_table(found) if isinstance(found, Table) else found
    signs = np.ones(outputs, dtype=np.int64) if levels is None else np.where(levels.falls, -1, 1)
    count, added = fine.count, fine.added * signs
    thresholds = None if levels is None else levels.thresholds
    if thresholds is not None:
        count, added, thresholds = coarser(count, added, thresholds)
    alone = len(added) == 1
    acc = multiply(
        state, node, where, x, sums.matrix * signs,
        step[0] if step.size == 1 else Fraction(1),
        added[0].astype(np.float64) if alone and thresholds is None else None,
    )  # fmt: skip
    left: IntArray | None = sums.added[0] if alone else fine.rests[:, 0]
    if alone and thresholds is not None:
        thresholds = thresholds - added.T  # The same for all pixels.
    elif alone:
        left = fine.rests[:, 0]
    else:
        ends = (sums.low, sums.high), (-sums.high, -sums.low)
        low, high = (np.where(signs > 0, a, b) * count + added for a, b in zip(*ends, strict=True))
        held = None
        most = max(int(np.abs(low).max()), int(np.abs(high).max()))
        if most >= ACCUMULATOR_LIMIT and thresholds is not None:
            thresholds, held = around(thresholds, low, high)
        acc = _border_bias(state, node, acc, added, count, windows, low, high, held)
        left = left if fine.count == count == 1 and held is None else None
    if left is not None and step.size == 1 and (signs == 1).all():
        moved = multiples(left, step[0] / sums.parts) + offset
        state.publish(acc, accumulator, moved.tolist())
    state.claim(*chain)
    if levels is not None and thresholds is not None:
        y = thresholding(
            state, chain[-1], acc, thresholds, levels.datatype, levels.first, levels.scale
        )
    elif isinstance(found, Table):
        y = of_table(state, chain[-1], acc, within_type(found, acc))
    state.publish(y, chain[-1].output[0])


class Finer:
    """Sums of whole steps and a rest, one of few for each output, as integers in their order:
    ``count`` of them are a step. Nothing is rounded."""

    def __init__(self, added: IntArray, parts: int) -> None:
        whole, rest = np.divmod(added, parts)
        rests = [np.unique(column) for column in rest.T]
        self.parts = parts
        self.count = 1 << (max(len(row) for row in rests) - 1).bit_length()
        self.rests = np.stack([np.append(r, [r[-1]] * (self.count - len(r))) for r in rests])
        ranks = [np.searchsorted(r, column) for r, column in zip(rests, rest.T, strict=True)]
        self.added = whole * self.count + np.stack(ranks, axis=1)

    def limit(self, sums: _Sums) -> int:
        """The largest magnitude of the integers."""
        ends = (sums.low * self.count + self.added, sums.high * self.count + self.added)
        return max(int(np.abs(end).max()) for end in ends)

    def parts_of(self, integers: IntArray) -> tuple[FloatArray, int]:
        """What integers (V,) or (C, V) stand for, (C, V) in parts of a step."""
        rows = np.broadcast_to(integers, (len(self.rests), np.shape(integers)[-1]))
        whole, rank = np.divmod(rows, self.count)
        counted = whole * self.parts + np.take_along_axis(self.rests, rank, axis=1)
        return counted.astype(np.float64), self.parts


def coarser(count: int, added: IntArray, thresholds: IntArray) -> tuple[int, IntArray, IntArray]:
    """Integers of fewer parts, ``count`` of which were a step: those that no threshold lies between
    become one."""
    parts = [np.setdiff1d(row % count, [0]) for row in thresholds]
    fewer = 1 << max(len(row) for row in parts).bit_length()
    if fewer >= count:
        return count, added, thresholds

    def turned(values: IntArray) -> IntArray:
        """(outputs, ..)."""
        whole, rest = np.divmod(values, count)
        ranks = [np.searchsorted(p, r, side="right") for p, r in zip(parts, rest, strict=True)]
        return whole * fewer + np.stack(ranks)

    return fewer, turned(added.T).T, turned(thresholds)


def around(thresholds: IntArray, low: IntArray, high: IntArray) -> tuple[IntArray, str]:
    """Thresholds (outputs, n) of integers low to high (places, outputs) that end where no threshold
    lies any more, and their type."""
    least, most = low.min(axis=0)[:, None], high.max(axis=0)[:, None]
    used = (thresholds > least) & (thresholds <= most)
    found = thresholds[used] if used.any() else np.zeros(1, dtype=np.int64)
    datatype = smallest_signed(int(found.min()) - 1, int(found.max()))
    first, last = limits(datatype)
    return np.where(used, thresholds, np.where(thresholds > most, last + 1, first)), datatype


def _border_bias(
    state: Lowering,
    node: onnx.NodeProto,
    acc: Stream,
    added: IntArray,
    count: int,
    windows: Windows,
    low: IntArray,
    high: IntArray,
    held: str | None = None,
) -> Stream:
    """``count`` (a power of two) times the sums, and what is added at each place; ``low`` and
    ``high`` (places, outputs): what comes out; ``held``: the type that saturates it."""
    least, most = low.min(axis=0), high.max(axis=0)
    reach = max(abs(int(least.min())), int(most.max()))
    if held is not None:
        ends = limits(held)
        least, most = least.clip(*ends), most.clip(*ends)
        reach = max(int(np.abs(added).max()), ends[1])
    if reach >= SUM_LIMIT:
        raise LoweringError(
            node,
            f"its sums and what a border adds to them reach {reach}, in {count} parts of a step "
            f"each, expected less than {SUM_LIMIT} ({ACCUMULATOR_BITS} bits); use fewer "
            "weight bits or channels, or a quantiser of the input",
        )
    datatype = smallest_signed(int(least.min()), int(most.max()))
    bias_type = smallest_signed(int(added.min()), int(added.max()))
    if int(bias_type.removeprefix("INT")) > int(datatype.removeprefix("INT")):
        datatype = bias_type
    shift = count.bit_length() - 1
    bits = int(acc.datatype.removeprefix("INT")) + shift
    if bits > int(datatype.removeprefix("INT")):
        datatype = f"INT{bits}"
    (y,) = state.builder.add(
        "BorderBias",
        layer_of(node),
        [acc],
        [(acc.shape, held or datatype)],
        {
            "NumChannels": acc.channels,
            "PE": 1,
            "ImgDim": list(acc.shape[1:3]),
            "RowRuns": windows.rows.runs,
            "ColumnRuns": windows.columns.runs,
            "shift": shift,
            "saturates": int(held is not None),
            "inputDataType": acc.datatype,
            "biasDataType": bias_type,
            "outputDataType": held or datatype,
        },
        {"bias": (added, bias_type)},
        acc.scale / count,
    )
    state.reached[y.name] = (least, most)
    return y


def _fits(matrix: FloatArray, parts: int, codes: tuple[int, int]) -> bool:
    """Whether accumulators hold sums of codes in so many parts of a step."""
    if np.abs(matrix).max() * min(parts, SUM_LIMIT) >= SUM_LIMIT:
        return False
    return int(np.abs(accumulator_bounds(matrix * parts, *codes, 0)).max()) < SUM_LIMIT


def _exact(
    state: Lowering,
    node: onnx.NodeProto,
    x: Stream,
    sums: _Sums,
    step: Fraction,
    windows: Windows,
    multiply: Product,
    offset: FloatArray,
) -> None:
    """Without a quantiser behind: weights in so many parts of a step that all sums are whole."""
    where, (accumulator,) = layer_of(node), node.output
    alone = len(sums.added) == 1
    if alone and state.ends_graph(accumulator):
        exact = [
            Fraction(int(part), sums.parts) + Fraction(value) / step
            for part, value in zip(sums.added[0], offset.tolist(), strict=True)
        ]
        finer, bias, left = in_finer_steps(exact, step)
        acc = multiply(state, node, where, x, sums.matrix * finer, step / finer, bias)
        if any(left):
            state.meanings[acc.name] = Meaning((step / finer,) * len(left), tuple(left), True)
        state.publish(acc, accumulator, list(map(float, left)) if any(left) else [])
        return
    most = math.gcd(sums.parts, *sums.added.reshape(-1).tolist())
    parts, added = sums.parts // most, sums.added // most
    own = whole_steps(offset, step / parts)
    if own is None or not _fits(sums.matrix, parts, represented(x)):
        raise LoweringError(
            node,
            f"its sums of codes that are no whole steps from 0 take {parts} parts of a step and "
            f"accumulators of more than {ACCUMULATOR_BITS} bits or a bias between these, expected "
            f"a quantiser of at most {MAX_BITS} bits behind; or use one of the input",
        )
    added = added + own.astype(np.int64)
    acc = multiply(
        state, node, where, x, sums.matrix * parts, step / parts,
        added[0].astype(np.float64) if alone else None,
    )  # fmt: skip
    if not alone:
        low, high = sums.low * parts + added, sums.high * parts + added
        acc = _border_bias(state, node, acc, added, 1, windows, low, high)
    state.publish(acc, accumulator)

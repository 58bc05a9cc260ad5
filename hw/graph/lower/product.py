# SPDX-License-Identifier: Apache-2.0
"""A product of a stream with weights, together with the thresholds behind it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import onnx

from ....quant.grid import IntArray, accumulator_bounds
from ..bisection import Levels, bisect, is_arithmetic, levels_of_table
from ..builder import Stream
from ..epilogue_pattern import rounded
from ..qonnx_graph import FloatArray, LoweringError, Steps, multiples, whole_steps
from ..reference_value import Value
from ..tables import FEW_VALUES, MAX_VALUES, Table
from ..threshold_pattern import MAX_BITS, find_quantiser
from .matrix_vector import Product, matrix_vector, represented
from .state import Lowering, Meaning, layer_of, limits
from .thresholds import of_table, tabulated, thresholding
from .weights import bias_of


@dataclass(frozen=True)
class Spread:
    """Columns of a matrix that are one channel of the network, at several places."""

    channels: IntArray
    """Channel of every column."""
    move: Callable[[Stream], Stream]
    """Brings the columns to their places."""


def accumulate(
    state: Lowering,
    node: onnx.NodeProto,
    x: Stream,
    matrix: FloatArray,
    scale: Steps,
    multiply: Product = matrix_vector,
    spread: Spread | None = None,
) -> None:
    """Lower a product, together with the quantiser behind it where thresholds do.

    ``multiply`` makes the accumulators; ``matrix`` holds a column for each output.

    Thresholds only count upwards: where a negative gamma turns the function around, the
    channel's weights change their sign, and so does its accumulator. They also take in what
    is no integer: a bias between two steps, or where products have none, and a step per
    channel. So does the choice of a class, where logits differ in either.
    """
    state.claim(node)
    where, (accumulator,) = layer_of(node), node.output
    of = np.arange(matrix.shape[1]) if spread is None else spread.channels
    outputs = int(of.max()) + 1
    step = x.scale * scale
    chain = find_quantiser(state.graph, accumulator)
    if chain and (step == 1).all() and rounded(state.graph, chain[-1]) == accumulator:
        chain = None
    ends = state.ends_graph(accumulator)
    if chain is None and step.size > 1 and not ends:
        raise LoweringError(
            node,
            f"found one weight scale per output and no quantiser of at most {MAX_BITS} bits "
            "behind, expected one scale for all: its results are added up as integers",
        )
    row = bias_of(state, node, outputs)
    offset = np.zeros(outputs) if row is None else row
    # In steps: what the product adds, and what thresholds take in instead.
    bias = whole_steps(offset, step[0]) if step.size == 1 else None
    if row is None or (bias is not None and x.datatype != "BINARY" and not x.levels):
        bias, offset = (None if row is None else bias), np.zeros(outputs)
    elif chain is not None or (outputs == 1 and ends):
        bias = None
    elif ends and not x.levels and step.size == 1:
        exact = [Fraction(value) / step[0] for value in offset.tolist()]
        finer, bias, left = in_finer_steps(exact, step[0])
        matrix, step = matrix * finer, step / finer
        offset = np.array(left, dtype=object)
    elif ends and not x.levels and x.datatype != "BINARY":
        # Of whole steps, so that the integers have the sign of what they stand for.
        whole = [math.floor(Fraction(v) / s) for v, s in zip(offset.tolist(), step, strict=True)]
        bias = np.array(whole, dtype=np.float64)
        offset = np.array(
            [Fraction(v) - w * s for v, w, s in zip(offset.tolist(), whole, step, strict=True)],
            dtype=object,
        )
    elif ends:
        bias = None
    else:
        bias, offset = offset / float(step[0]), np.zeros(outputs)
    # Of columns from here on.
    bias = None if bias is None else bias[of]
    if x.first:
        # Of counts from 0: what is missing is the same for every input.
        missing = x.first * matrix.sum(axis=0)
        if chain is not None and bias is None and spread is None:
            offset = offset + np.array((step * missing.astype(np.int64)).tolist(), dtype=np.float64)
        else:
            bias = missing if bias is None else bias + missing
    moved = offset.astype(np.float64).tolist() if offset.any() else []
    if chain is None:
        unit = step[0] if step.size == 1 else Fraction(1)
        acc = multiply(state, node, where, x, matrix, unit, bias)
        acc = acc if spread is None else spread.move(acc)
        if ends and (moved or step.size > 1):
            steps = tuple(step.tolist()) * (outputs if step.size == 1 else 1)
            state.meanings[acc.name] = Meaning(
                steps, tuple(map(Fraction, offset.tolist())), step.size == 1
            )
        state.publish(acc, accumulator, moved, step.astype(float).tolist() if step.size > 1 else ())
        return
    low, high = represented(x)
    bounds = accumulator_bounds(matrix, low, high, 0 if bias is None else bias)
    limit = int(np.abs(bounds).max())

    def tabulate(integers: IntArray) -> Table:
        values = sums_of(integers, step, offset)
        return tabulated(state, chain, outputs, -limit, values)

    found = found_levels(state, chain, outputs, limit, tabulate)
    levels = levels_of_table(found) if isinstance(found, Table) else found
    signs = np.ones(outputs) if levels is None else np.where(levels.falls, -1, 1)
    # The steps of channels that differ are the thresholds' alone.
    acc = multiply(
        state,
        node,
        where,
        x,
        matrix * signs[of],
        step[0] if step.size == 1 else Fraction(1),
        None if bias is None else bias * signs[of],
    )
    acc = acc if spread is None else spread.move(acc)
    state.claim(*chain)
    if step.size == 1 and (signs == 1).all():
        state.publish(acc, accumulator, moved)
    if levels is not None:
        y = thresholding(
            state, chain[-1], acc, levels.thresholds, levels.datatype, levels.first, levels.scale
        )
    elif isinstance(found, Table):
        y = of_table(state, chain[-1], acc, within_type(found, acc))
    state.publish(y, chain[-1].output[0])


def sums_of(integers: IntArray | FloatArray, step: Steps, offset: FloatArray) -> Value:
    """What integers (V,) or (C, V) stand for: so many steps, one or (C,), and an offset (C,)."""
    moved = whole_steps(offset, step[0]) if step.size == 1 else None
    if moved is None:
        return Value(multiples(integers, step[:, None]) + offset[:, None])
    return Value(integers + moved[:, None], step[0])


def in_finer_steps(exact: list[Fraction], step: Fraction) -> tuple[int, FloatArray, list[Fraction]]:
    """Biases of logits between the steps of their sums: steps so many times finer, biases in these
    and what they leave away.

    Two sums of whole steps differ by the whole steps of their biases, or where that is equal, as
    the rests of these do: it is enough to know the order of the rests.

    Args:
        exact: the biases in steps.
        step: what a step stands for.
    """
    whole = [math.floor(value) for value in exact]
    rests = [value - floor for value, floor in zip(exact, whole, strict=True)]
    order = {rest: rank for rank, rest in enumerate(sorted(set(rests)))}
    bias = [len(order) * floor + order[r] for floor, r in zip(whole, rests, strict=True)]
    left = [(v - Fraction(b, len(order))) * step for v, b in zip(exact, bias, strict=True)]
    return len(order), np.array(bias, dtype=np.float64), left


def found_levels(
    state: Lowering,
    chain: list[onnx.NodeProto],
    channels: int,
    limit: int,
    tabulate: Callable[[IntArray], Table],
    parts: int = 1,
) -> Table | Levels:
    """Find what a chain gives over the integers -limit..limit. Of many integers it is found where
    codes are reached, by halving; ``parts`` of them are one of the hardware's sums."""
    few = FEW_VALUES if is_arithmetic(state.graph, chain) else MAX_VALUES
    if 2 * limit < few:
        return tabulate(np.arange(-limit, limit + 1))
    return bisect(state.graph, chain, channels, limit, tabulate, parts)


def within_type(table: Table, acc: Stream) -> Table:
    """The part of a table that an accumulator's datatype holds."""
    low, high = limits(acc.datatype)
    low = max(low, table.low)
    return replace(table, low=low, codes=table.codes[:, low - table.low : high + 1 - table.low])

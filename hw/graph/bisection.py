# SPDX-License-Identifier: Apache-2.0
"""Thresholds of a quantiser over an integer of too many values to evaluate it on each.

Every op of a chain with constants (a sum, a product, a normalisation, a clip, a rounding) is
monotone in float64 as well, for rounding keeps the order of numbers. So the first value that
reaches a level is found by halving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import onnx

from ...quant.grid import ACCUMULATOR_BITS, SUM_LIMIT, IntArray
from .qonnx_graph import FloatArray, LoweringError, QonnxGraph
from .tables import MAX_VALUES, Table, falling_channels, thresholds
from .threshold_pattern import ENDS, TURNING

ARITHMETIC = (
    "Add", "Sub", "Mul", "Div", "BatchNormalization", "Relu", "Clip", "Neg", "LeakyRelu", "Max",
    "Min", "PRelu", *ENDS,
)  # fmt: skip
"""Ops that float64 computes in few roundings, which keep the order of numbers."""


@dataclass(frozen=True)
class Levels:
    """Where a rising or falling quantiser of an integer reaches its codes."""

    falls: npt.NDArray[np.bool_]
    """(C,) channels that fall: their thresholds are for the integer with its sign changed."""
    thresholds: IntArray
    """(C, codes - 1), ascending."""
    first: int
    """The smallest code."""
    datatype: str
    scale: Fraction


def levels_of_table(table: Table) -> Levels | None:
    """Read the levels from a table over -limit..limit; None where a channel rises and falls."""
    falls = falling_channels(table)
    if falls is None:
        return None
    codes = np.where(falls[:, None], table.codes[:, ::-1], table.codes)
    at, first = thresholds(replace(table, codes=codes))
    return Levels(falls, at, first, table.datatype, table.scale)


def is_arithmetic(graph: QonnxGraph, chain: list[onnx.NodeProto]) -> bool:
    """Whether a chain never turns around and is made of sums, products and limits alone: halving
    finds what a table of all values would say, with certainty."""
    return not any(node.op_type not in ARITHMETIC or _turns(graph, node) for node in chain)


def _turns(graph: QonnxGraph, node: onnx.NodeProto) -> str:
    """Say why a node may turn from rising to falling; empty where it never does."""
    if node.op_type == "Div" and graph.operands(node) is None:
        return "divides by what is quantised, expected a constant divisor"
    slopes: FloatArray | None = np.zeros(1)
    if node.op_type in ("LeakyRelu", "Elu", "Selu"):
        given = graph.attributes(node)
        slopes = np.asarray([given.get("alpha", 1.0), given.get("gamma", 1.0)])
    elif node.op_type == "PRelu":
        slopes = graph.constant(node.input[1])
    computed = sum(graph.constant(name) is None for name in node.input if name)
    turns = slopes is None or (slopes < 0).any() or node.op_type in TURNING
    if turns or computed > 1:
        return (
            f"may turn around over an integer of more than {MAX_VALUES} values, expected steps "
            "that only rise or only fall there; use fewer bits or channels in front"
        )
    return ""


def bisect(
    graph: QonnxGraph,
    chain: list[onnx.NodeProto],
    channels: int,
    limit: int,
    tabulate: Callable[[IntArray], Table],
    parts: int = 1,
) -> Levels:
    """Find the levels of a chain over -limit..limit.

    Args:
        graph: the network.
        chain: the nodes, the quantiser last.
        channels: C.
        limit: largest magnitude of the integer.
        tabulate: evaluates the chain on integers (C, V).
        parts: how many of the integer are one of the sum that the hardware has.

    Raises:
        LoweringError: ``limit`` is beyond what accumulators hold, or a node divides by the integer.
    """
    if limit >= SUM_LIMIT * parts:
        raise LoweringError(
            chain[-1],
            f"is a function of an integer up to {limit}, expected less than {SUM_LIMIT} "
            f"({ACCUMULATOR_BITS} bits); use fewer bits or channels",
        )
    for node in chain:
        if why := _turns(graph, node):
            raise LoweringError(node, why)
    ends = tabulate(np.tile([-limit, limit], (channels, 1)))
    falls = ends.codes[:, 0] > ends.codes[:, 1]
    sign = np.where(falls, -1, 1)[:, None]
    levels = np.arange(ends.first + 1, ends.last + 1)
    low = np.full((channels, levels.size), -limit, dtype=np.int64)
    high = np.full_like(low, limit + 1)
    for _ in range((2 * limit + 1).bit_length()):
        middle = (low + high) // 2
        inside = np.minimum(middle, limit)  # Where low has met high behind the last value.
        reached = (tabulate(inside * sign).codes >= levels) | (low == high)
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    return Levels(falls, high, ends.first, ends.datatype, ends.scale)

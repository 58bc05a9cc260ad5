# SPDX-License-Identifier: Apache-2.0
"""Thresholds of a quantiser over an integer of too many values to evaluate it on each.

Every op of a chain with constants (a sum, a product, a normalisation, a clip, a rounding) is
monotone in float64 as well, for rounding keeps the order of numbers. So the first value that
reaches a level is found by halving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.core.datatype import DataType

from ...quant.grid import ACCUMULATOR_LIMIT, IntArray
from .qonnx_graph import LoweringError, QonnxGraph
from .tables import Table, falling_channels, thresholds


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


def levels_of_table(node: onnx.NodeProto, table: Table) -> Levels:
    """Read the levels from a table over -limit..limit.

    Raises:
        LoweringError: a channel rises and falls.
    """
    falls = falling_channels(table)
    if falls is None:
        raise LoweringError(
            node, "rises and falls with its accumulator, expected one direction per channel"
        )
    codes = np.where(falls[:, None], table.codes[:, ::-1], table.codes)
    at, first = thresholds(Table(table.low, codes, table.datatype, table.scale))
    return Levels(falls, at, first, table.datatype, table.scale)


def bisect(
    graph: QonnxGraph,
    chain: list[onnx.NodeProto],
    channels: int,
    limit: int,
    tabulate: Callable[[IntArray], Table],
) -> Levels:
    """Find the levels of a chain over -limit..limit.

    Args:
        graph: the network.
        chain: the nodes, the quantiser last.
        channels: C.
        limit: largest magnitude of the integer.
        tabulate: evaluates the chain on integers (C, V).

    Raises:
        LoweringError: ``limit`` is beyond what float32 holds, or a node divides by the integer.
    """
    if limit >= ACCUMULATOR_LIMIT:
        raise LoweringError(
            chain[-1],
            f"is a function of an integer up to {limit}, expected less than {ACCUMULATOR_LIMIT} "
            "(float32 holds no more); use fewer bits or channels",
        )
    for node in chain:
        if node.op_type == "Div" and graph.operands(node) is None:
            raise LoweringError(node, "divides by what is quantised, expected a constant divisor")
    ends = tabulate(np.tile([-limit, limit], (channels, 1)))
    falls = ends.codes[:, 0] > ends.codes[:, 1]
    sign = np.where(falls, -1, 1)[:, None]
    datatype = DataType[ends.datatype]
    first = int(datatype.min())
    levels = np.arange(first + 1, int(datatype.max()) + 1)
    low = np.full((channels, levels.size), -limit, dtype=np.int64)
    high = np.full_like(low, limit + 1)
    for _ in range((2 * limit + 1).bit_length()):
        middle = (low + high) // 2
        inside = np.minimum(middle, limit)  # Where low has met high behind the last value.
        reached = (tabulate(inside * sign).codes >= levels) | (low == high)
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    return Levels(falls, high, first, ends.datatype, ends.scale)

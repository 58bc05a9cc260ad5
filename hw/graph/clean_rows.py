# SPDX-License-Identifier: Apache-2.0
"""Inputs of two and three axes that are maps: vectors turned into one, and rows of features."""

from __future__ import annotations

import math

import onnx

from ..kernels.base import node_attributes
from .clean_lines import SAME, change_numbers
from .clean_state import Cleaning
from .qonnx_graph import LoweringError

ELEMENTWISE = {*SAME} - {"BatchNormalization", "GlobalAveragePool", "GlobalMaxPool", "Where"}
"""Ops that are the same in both orders, but for constants of channels."""
PAIR = ("QuantizeLinear", "DequantizeLinear")


def as_map(state: Cleaning, name: str, sizes: list[int]) -> list[int]:
    """Return the shape (1, 1, H, W) of a vector that is turned into such a map, or one with its
    channel behind, before anything else: it is that map, and the Reshape goes."""
    graph = state.proto.graph
    readers = [node for node in graph.node if name in node.input]
    wanted = state.value(readers[0].input[1]) if readers and len(readers[0].input) > 1 else None
    if len(readers) != 1 or readers[0].op_type != "Reshape" or wanted is None:
        return sizes
    (output,) = readers[0].output
    if wanted.shape != (4,) or output in [value.name for value in graph.output]:
        return sizes
    own = [1, *(int(size) for size in wanted[1:])]
    left = sizes[1] // max(1, abs(math.prod(own)))
    own = [left if size == -1 else size for size in own]
    if min(own) < 1 or math.prod(own) != sizes[1] or 1 not in (own[1], own[3]):
        return sizes
    for node in graph.node:
        node.input[:] = [name if i == output else i for i in node.input]
    del graph.node[list(graph.node).index(readers[0])]
    state.readers[name] = state.readers.pop(output, [])
    return own


def of_rows(state: Cleaning, node: onnx.NodeProto) -> None:
    """A node that reads rows of features (1, N, F), here (1, F, 1, N): its axes are others.

    Raises:
        LoweringError: it is none that keeps the rows, averages or flattens them.
    """
    if node.op_type in ("ReduceSum", "ReduceMean", "ReduceMax"):
        change_numbers(state, node, 1, "axes", _axes_of_rows)
        if node_attributes(node).get("keepdims", 1):
            state.rows.update(node.output)
    elif node.op_type in ELEMENTWISE or node.op_type in (*PAIR, "MatMul"):
        state.rows.update(node.output)
        for attribute in node.attribute:
            if attribute.name == "axis":
                (attribute.i,) = _axes_of_rows([attribute.i])[-1:]
    elif node.op_type not in ("Flatten", "Reshape"):
        raise LoweringError(
            node,
            "reads rows of features (1, N, F), expected fully connected layers, elementwise nodes, "
            "averages of all rows or a flattening there",
        )


def _axes_of_rows(axes: list[int]) -> list[int]:
    """Axes of (1, N, F) as those of (1, H, W, C), of one row."""
    return [new for axis in axes for new in {0: [0], 1: [1, 2], 2: [3]}[axis % 3]]

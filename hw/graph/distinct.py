# SPDX-License-Identifier: Apache-2.0
"""How many values of a set of tensors are distinct: copies and re-layouts are not counted twice."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
import onnx

from ...quant.grid import IntArray
from ..kernels.base import node_attributes
from ..kernels.ops import facts_of, find_golden

BORDER = 0
"""Number of the constant that padding puts around a picture."""


def distinct_values(model: onnx.ModelProto, tensors: Collection[str]) -> dict[str, int]:
    """Count the distinct values of a dataflow graph's tensors, for one picture.

    A value is distinct if it is a pixel of the picture or was computed by a node; what an op that
    only moves values (``Facts.moves``) puts out are the same values at other places, and the
    constant border of a padded picture is none at all. Values are numbered where they are
    computed, the numbers are sent through the goldens of the moving nodes, and a number counts for
    the first tensor that holds it, in the graph's order from picture to result. A tensor that only
    repeats values of earlier ones therefore counts 0; one whose sources are not among ``tensors``
    counts what it shows of them. The rule knows the graph and the names, not who delivers them: it
    is the same for every backend.

    Args:
        model: dataflow graph, abstract or specialised.
        tensors: names of streamed tensors that are compared.

    Returns:
        Name -> values that no earlier tensor of ``tensors`` holds, in the graph's order.
    """
    graph = model.graph
    constants = {t.name for t in graph.initializer}
    shapes = stream_shapes(model)
    inputs = [v.name for v in graph.input if v.name not in constants]
    computed = [n for node in graph.node if not _moves(node) for n in node.output]
    first = BORDER + 1
    numbers: dict[str, IntArray] = {}
    starts: dict[str, int] = {}
    for name in (*inputs, *computed):
        starts[name] = first
        first += math.prod(shapes[name])
    seen = np.zeros(first, dtype=bool)
    seen[BORDER] = True
    last = {name: i for i, node in enumerate(graph.node) for name in node.input}
    wanted = set(tensors)
    counts: dict[str, int] = {}

    def arrive(name: str) -> None:
        if name in starts:
            size = math.prod(shapes[name])
            numbers[name] = np.arange(starts[name], starts[name] + size).reshape(shapes[name])
        if name in wanted:
            before = np.count_nonzero(seen)
            seen[numbers[name].ravel()] = True
            counts[name] = int(np.count_nonzero(seen) - before)

    for name in inputs:
        arrive(name)
    for i, node in enumerate(graph.node):
        if _moves(node):
            numbers.update(zip(node.output, _moved(node, numbers), strict=True))
        for name in node.output:
            arrive(name)
        for name in node.input:
            if last[name] == i:
                numbers.pop(name, None)
    return counts


def stream_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the declared shape (1, ...) of every tensor of a dataflow graph, for one picture."""
    graph = model.graph
    return {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in (*graph.input, *graph.value_info, *graph.output)
    }


def _moves(node: onnx.NodeProto) -> bool:
    return facts_of(node.op_type).moves


def _moved(node: onnx.NodeProto, numbers: Mapping[str, IntArray]) -> list[IntArray]:
    """Send the numbers of a node's inputs through its golden."""
    golden = find_golden(node.op_type)
    if golden is None:
        raise ValueError(f"{node.name}: found op {node.op_type}, expected one with a golden")
    return golden([numbers[name] for name in node.input], node_attributes(node))

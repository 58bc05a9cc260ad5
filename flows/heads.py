# SPDX-License-Identifier: Apache-2.0
"""The heads of a dataflow graph, and what backends gave for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from ..hw.graph.executor import base_op
from ..hw.graph.heads import HEADS, Head, Kind, heads_of
from ..quant.tasks.task import Output, Outputs, shaped

IntArray = npt.NDArray[np.int64]


def graph_heads(model: onnx.ModelProto) -> list[Head]:
    """Return the heads of a dataflow graph, in the order of its outputs.

    Raises:
        ValueError: the graph says other heads than it has.
    """
    if any(entry.key == HEADS for entry in model.metadata_props):
        return heads_of(model)
    return [_derived(model, value) for value in model.graph.output]


def _derived(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> Head:
    """Return the head of an output of a graph that was built before graphs named their heads."""
    node = next(n for n in model.graph.node if value.name in n.output)
    if base_op(node.op_type) != "LabelSelect":
        return Head(value.name, "raw", value.name)
    pixels = [d.dim_value for d in value.type.tensor_type.shape.dim][1:-1]
    kind: Kind = "class" if all(n == 1 for n in pixels) else "class_map"
    return Head(value.name, kind, value.name, node.input[0])


def outputs_of(heads: Sequence[Head], tensors: Mapping[str, IntArray]) -> Outputs:
    """Return what a backend gave for every head.

    Args:
        heads: of the graph.
        tensors: (N, ...) integers by name, the heads' among them.
    """
    return {head.name: Output(head.kind, shaped(head.kind, tensors[head.tensor])) for head in heads}

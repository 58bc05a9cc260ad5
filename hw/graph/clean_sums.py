# SPDX-License-Identifier: Apache-2.0
"""Sums and means of any number of tensors, written with Add."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from .loader import MAX_NODES, ModelError


def in_pairs(graph: onnx.GraphProto) -> None:
    """Write every Sum and Mean as additions of two tensors, and a division behind those of a Mean.

    The last node keeps its name and its tensor.

    Raises:
        ModelError: more than MAX_NODES nodes would come of it.
    """
    found = [node for node in graph.node if node.op_type in ("Sum", "Mean") and not node.domain]
    if not found:
        return
    if (count := sum(len(node.input) for node in found)) > MAX_NODES:
        raise ModelError(f"found sums of {count} tensors, expected at most {MAX_NODES}")
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes += _pairs(graph, node) if node.op_type in ("Sum", "Mean") else [node]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)


def _pairs(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    total, *others = node.input
    (output,) = node.output
    made = []
    for i, name in enumerate(others):
        made.append(helper.make_node("Add", [total, name], [f"{output}_{i}"]))
        total = f"{output}_{i}"
    if node.op_type == "Mean" or not others:
        count = onnx.numpy_helper.from_array(
            np.array(len(node.input), np.float32), f"{output}_count"
        )
        graph.initializer.append(count)
        made.append(helper.make_node("Div", [total, count.name], [output]))
    for i, part in enumerate(made):
        part.name = f"{node.name}_{i}"
    made[-1].name, made[-1].output[:] = node.name, [output]
    return made

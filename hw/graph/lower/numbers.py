# SPDX-License-Identifier: Apache-2.0
"""Which signs have to stream as the numbers -1 and +1.

A sign takes one bit where all that read it are products of weights -1 and +1, without a border of
0 and without a summand that nothing behind takes in. Wherever else a sign is read, the same tensor
streams as INT2, an integer like others.
"""

from __future__ import annotations

import numpy as np
import onnx

from ..qonnx_graph import LoweringError, QonnxGraph, whole
from ..threshold_pattern import find_quantiser
from .grouped import in_one_unit
from .state import Lowering
from .weights import bias_of, weights_of

MOVES = (
    "Concat", "DepthToSpace", "Flatten", "MaxPool", "Pad", "Reshape", "Resize", "Slice", "Split",
    "Squeeze", "Transpose", "Unsqueeze", "Upsample",
)  # fmt: skip
"""Ops that give codes on as they are: what holds of their outputs holds of their inputs."""
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
SIGNS = "INT2"
"""Datatype of signs as numbers."""


def are_numbers(state: Lowering, name: str) -> bool:
    """Whether the signs in a tensor of the network stream as numbers."""
    return name in state.once(_tensors)


def _tensors(state: Lowering) -> set[str]:
    """All tensors that hold signs as numbers, and those that are joined with them."""
    graph = state.graph
    found: set[str] = set()
    for node in graph.nodes:
        if node.op_type != "BipolarQuant" or graph.constant(node.input[0]) is not None:
            continue
        group = _group(graph, node.output[0])
        if not found & group and (
            _joined_with_others(graph, group)
            or any(_wants(state, reader, n) for n in group for reader in graph.consumers[n])
        ):
            found |= group
    return found


def _group(graph: QonnxGraph, name: str) -> set[str]:
    """The tensors that hold the same codes: over moves, forwards and, where several are joined,
    back again."""
    group, ways = {name}, [name]
    while ways:
        tensor = ways.pop()
        near = [n for n in graph.consumers[tensor] if _moves(graph, n)]
        maker = graph.producer.get(tensor)
        if maker is not None and _moves(graph, maker):
            near.append(maker)
        ends = [e for n in near for e in (*_computed(graph, n), *n.output)]
        ways += [e for e in ends if e not in group]
        group.update(ends)
    return group


def _joined_with_others(graph: QonnxGraph, group: set[str]) -> bool:
    """Whether a group holds other codes than signs, or signs of several scales."""
    makers = [graph.producer.get(name) for name in group]
    sources = [n for n in makers if n is not None and not _moves(graph, n)]
    scales = {graph.scalar(n.input[1]) for n in sources if n.op_type == "BipolarQuant"}
    return len(scales) > 1 or any(n.op_type != "BipolarQuant" for n in sources)


def _moves(graph: QonnxGraph, node: onnx.NodeProto) -> bool:
    return node.op_type in MOVES and graph.attributes(node).get("mode") != "linear"


def _computed(graph: QonnxGraph, node: onnx.NodeProto) -> list[str]:
    return [n for n in node.input if n and graph.constant(n) is None]


def _wants(state: Lowering, node: onnx.NodeProto, name: str) -> bool:
    """Whether a reader takes no signs of one bit."""
    graph = state.graph
    if node.op_type == "Pad":
        value = graph.parameter(node, 2, "value")
        return value is None or value.size != 1 or not value.reshape(()) < 0
    if _moves(graph, node):
        return False
    if node.op_type not in PRODUCTS:
        return True
    if any(graph.attributes(node).get("pads", ())) or node.op_type == "ConvTranspose":
        return True
    claimed = set(state.claimed)
    try:
        weight, _ = weights_of(state, node)
        bias = bias_of(state, node, graph.shape(node.output[0])[1])
    except LoweringError:
        return False
    finally:
        state.claimed = claimed
    if not np.all(np.abs(weight) == 1) and not _in_groups(graph, node, weight.shape):
        return whole(weight)  # Others are refused by the product itself.
    taken_in = find_quantiser(graph, node.output[0]) is not None
    return bias is not None and not taken_in


def _in_groups(graph: QonnxGraph, node: onnx.NodeProto, shape: tuple[int, ...]) -> bool:
    """Whether a convolution becomes a unit that takes signs with weights of any width."""
    groups = int(graph.attributes(node).get("group", 1))
    return groups > 1 and in_one_unit(groups, shape[1], shape[0] // groups)

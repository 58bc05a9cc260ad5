# SPDX-License-Identifier: Apache-2.0
"""Recognises the chains of elementwise nodes that end in a quantiser or a count."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Sized
from dataclasses import dataclass

import numpy as np
import onnx

from .multi_threshold import OP as MULTI_THRESHOLD
from .multi_threshold import Counts
from .qonnx_graph import FloatArray, LoweringError, QonnxGraph, per_channel

RISING = (
    "Ceil", "Erf", "Exp", "Floor", "HardSigmoid", "Log", "Round", "Sigmoid", "Sign", "Softplus",
    "Softsign", "Sqrt", "Tanh",
)  # fmt: skip
"""Functions that never fall."""
TURNING = ("Abs", "Celu", "Gelu", "HardSwish", "Mish", "Pow", "Reciprocal", "ThresholdedRelu")
"""Functions that may rise and fall."""
ELEMENTWISE = (
    "Add", "Sub", "Mul", "Div", "BatchNormalization", "Relu", "Clip", "Neg", "Elu", "LeakyRelu",
    "Max", "Min", "PRelu", "Selu", *RISING, *TURNING,
)  # fmt: skip
"""Ops allowed between the integer and its quantiser."""
COMPARISONS = (*ELEMENTWISE, "Unsqueeze", "GreaterOrEqual", "Cast")
"""Ops allowed between the integer and the sum that counts the thresholds it reaches."""
ENDS = ("BipolarQuant", "Quant", "Trunc", MULTI_THRESHOLD)
"""Quantisers."""
MAX_CHAIN = 64
"""Most nodes between an integer and its quantiser."""
MAX_BITS = 8
"""Widest output that thresholds serve."""
MAX_LEVEL = (1 << MAX_BITS) - 1
"""Largest level code of an activation."""


@dataclass(frozen=True)
class Comparisons:
    """base + the sum of steps where x >= thresholds, in the network's own constants."""

    source: str
    """x."""
    thresholds: FloatArray
    """(C, n)."""
    steps: FloatArray
    """(C, n)."""
    base: FloatArray
    """(C,)."""
    counts: bool
    """A plain count: no steps, no base."""
    nodes: tuple[onnx.NodeProto, ...]


def match_comparisons(graph: QonnxGraph, total: onnx.NodeProto) -> Comparisons | None:
    """Read x -> Unsqueeze(2) -> GreaterOrEqual -> Cast [-> Mul] -> ReduceSum(2) [-> Add].

    Args:
        graph: the network.
        total: the ReduceSum.

    Returns:
        None where x is reached in another way.

    Raises:
        LoweringError: a constant has another shape than (C, n, 1, 1), or (C, 1, 1) for the base.
    """
    nodes = [total]
    steps: FloatArray | None = None
    node = graph.producer.get(total.input[0])
    if node is not None and node.op_type == "Mul" and (product := graph.operands(node)) is not None:
        nodes.insert(0, node)
        node, steps = graph.producer.get(product[0]), product[1]
    for op in ("Cast", "GreaterOrEqual", "Unsqueeze"):
        if node is None or node.op_type != op:
            return None
        nodes.insert(0, node)
        node = graph.producer.get(node.input[0])
    unsqueeze, compare = nodes[:2]
    limits = graph.constant(compare.input[1])
    axes = graph.parameter(unsqueeze, 1, "axes")
    if limits is None or axes is None or axes.tolist() != [2]:
        return None
    channels = graph.shape(unsqueeze.input[0])[1]
    if limits.ndim != 4 or limits.shape[0] != channels or limits.shape[2:] != (1, 1):
        raise LoweringError(
            compare,
            f"found thresholds of shape {limits.shape}, expected ({channels}, n, 1, 1)",
        )
    if steps is not None and steps.shape not in (limits.shape, ()):
        raise LoweringError(
            nodes[-2], f"found steps of shape {steps.shape}, expected {limits.shape}"
        )
    base: FloatArray | None = None
    readers = graph.consumers[total.output[0]]
    if len(readers) == 1 and readers[0].op_type == "Add":
        offset = graph.operands(readers[0])
        if offset is not None:
            nodes.append(readers[0])
            base = per_channel(offset[1], channels, 4)
            if base is None:
                raise LoweringError(
                    readers[0],
                    f"found a base of shape {offset[1].shape}, expected ({channels}, 1, 1)",
                )
    shape = limits.shape[:2]
    return Comparisons(
        unsqueeze.input[0],
        limits.reshape(shape),
        np.ones(shape) if steps is None else np.broadcast_to(steps.reshape(steps.shape[:2]), shape),
        np.zeros(channels) if base is None else base,
        steps is None and base is None,
        tuple(nodes),
    )


def most_code(graph: QonnxGraph, quantiser: onnx.NodeProto) -> int:
    """Return how many steps a quantiser has at most, from its least to its largest code."""
    if quantiser.op_type == "BipolarQuant":
        return 1
    if quantiser.op_type == MULTI_THRESHOLD:
        found = Counts.of(graph.attributes(quantiser))
        rows = graph.constant(quantiser.input[1])
        return 0 if rows is None else rows.shape[1] * abs(found.factor)
    bits = graph.scalar(quantiser.input[3])
    return 0 if bits is None else (1 << int(bits)) - 1


def alike(graph: QonnxGraph, nodes: Sequence[onnx.NodeProto]) -> bool:
    """Whether nodes treat all channels alike: their constants are single numbers, or one row of
    thresholds."""
    return all(
        value.size == 1 or (node.op_type == MULTI_THRESHOLD and len(value) == 1)
        for node in nodes
        for value in map(graph.constant, node.input)
        if value is not None
    )


def has_few_codes(graph: QonnxGraph, quantiser: onnx.NodeProto) -> bool:
    """Whether thresholds serve a quantiser: at most 8 bits, or 9 of which a Clip in front leaves
    as many codes, as an asymmetric one of 8 bits has."""
    if quantiser.op_type == "BipolarQuant":
        return True
    if quantiser.op_type == MULTI_THRESHOLD:
        return most_code(graph, quantiser) <= MAX_LEVEL
    trunc = quantiser.op_type == "Trunc"
    bits, scale = graph.scalar(quantiser.input[-1]), graph.scalar(quantiser.input[1])
    if bits is None or bits <= MAX_BITS or trunc:
        return bits is not None and bits <= MAX_BITS
    clip = graph.producer.get(quantiser.input[0])
    if bits > MAX_BITS + 1 or scale is None or clip is None or clip.op_type != "Clip":
        return False
    ends = [graph.scalar(name) if name else None for name in clip.input[1:]]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        return False
    return bool(np.rint(ends[1] / scale) - np.rint(ends[0] / scale) <= MAX_LEVEL)


def find_chain(
    graph: QonnxGraph,
    last: onnx.NodeProto,
    known: Collection[str],
    ops: Collection[str] = ELEMENTWISE,
) -> tuple[str, list[onnx.NodeProto]] | None:
    """Walk back from a quantiser or a count to a known tensor through nodes of ``ops``.

    Several ways may lead there, as in ``x * sigmoid(x)``.

    Returns:
        (that tensor, nodes in order, ``last`` last), or None if there is no such chain, or it
        starts at several tensors.
    """
    nodes, ways, sources = {last.name: last}, [last], set()
    while ways:
        for name in _computed(graph, ways.pop()):
            if name in known:
                sources.add(name)
                continue
            producer = graph.producer.get(name)
            if producer is None or producer.op_type not in ops:
                return None
            if producer.name not in nodes:
                nodes[producer.name] = producer
                ways.append(producer)
            _check_length(last, nodes)
    if len(sources) != 1:
        return None
    return sources.pop(), sorted(nodes.values(), key=lambda node: graph.place[node.name])


def joins(graph: QonnxGraph, node: onnx.NodeProto) -> LoweringError | None:
    """Return why an elementwise node of two computed tensors is no part of a chain; None for one of
    a single one, and for sums, which have patterns of their own."""
    names = _computed(graph, node)
    if node.op_type not in ELEMENTWISE or node.op_type in ("Add", "Sub") or len(names) < 2:
        return None
    return LoweringError(
        node,
        f"takes {' and '.join(names)}, computed tensors, expected one and constants: of two only "
        "sums, differences and concatenations are built; use one of these in its place",
    )


def find_join(
    graph: QonnxGraph, last: onnx.NodeProto, known: Collection[str]
) -> LoweringError | None:
    """Return what keeps a quantiser from being the end of a chain, where it is a node that joins
    two tensors otherwise than by a sum."""
    nodes, ways = {last.name}, [last]
    while ways:
        node = ways.pop()
        found = joins(graph, node)
        if found is not None:
            return found
        for name in _computed(graph, node):
            producer = graph.producer.get(name)
            if name in known or producer is None or producer.op_type not in ELEMENTWISE:
                continue
            if producer.name not in nodes:
                nodes.add(producer.name)
                ways.append(producer)
    return None


def _computed(graph: QonnxGraph, node: onnx.NodeProto) -> list[str]:
    return [n for n in node.input if n and graph.constant(n) is None]


def _check_length(last: onnx.NodeProto, nodes: Sized) -> None:
    if len(nodes) > MAX_CHAIN:
        raise LoweringError(
            last,
            f"ends a chain of more than {MAX_CHAIN} elementwise nodes, expected fewer; fold them",
        )


def find_quantiser(graph: QonnxGraph, tensor: str) -> list[onnx.NodeProto] | None:
    """Walk forward from an accumulator through elementwise nodes to a quantiser.

    Returns:
        The nodes in order, the quantiser (one of ENDS, of at most 8 bits) last; None if
        the tensor goes elsewhere too, or to another kind of pattern.
    """
    reached, nodes = {tensor}, dict[str, onnx.NodeProto]()
    waiting = {node.name: node for node in graph.consumers[tensor]}
    while waiting:
        if any(graph.is_output(name) for name in reached):
            return None
        node = waiting.pop(min(waiting, key=graph.place.__getitem__))
        if not reached.issuperset(_computed(graph, node)):
            return None
        nodes[node.name] = node
        _check_length(node, nodes)
        if node.op_type in ENDS:
            return list(nodes.values()) if has_few_codes(graph, node) and not waiting else None
        if node.op_type not in ELEMENTWISE:
            return None
        reached.update(node.output)
        waiting.update((n.name, n) for out in node.output for n in graph.consumers[out])
    return None

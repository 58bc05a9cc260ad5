# SPDX-License-Identifier: Apache-2.0
"""Turn a folded dataflow graph into the stitched graph: what stands between its nodes.

Every edge becomes ``producer [-> FIFO or link] [-> width converter] -> consumer``; a FIFO stands
behind a converter that widens words, so that it carries the wider ones. There is a FIFO where
`elasticity` asks for one; a link, which is a register, in front of the network, behind each result,
and where a node does not end in registers or ready signals would run through too many nodes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from ..kernels import register
from ..kernels.ops import facts_of, op_of
from .elasticity import elastic_edges, joining

DOMAIN = "finn.custom_op.fpgadataflow.rtl"
MIN_DEPTH = 2
READY_RUN = 2
"""Nodes that a ready signal may run through within a cycle."""
HALF_RATE = 4
"""Cycles per word from which an edge takes the forms that pass a word in two cycles."""
SIZING_LIMIT = 65536
"""Words beyond which a sizing FIFO does not grow, however many a frame has."""
WAITING_LIMIT = 1 << 20
"""The same where words wait for another stream."""


class StreamError(ValueError):
    """The graph cannot be stitched."""


@dataclass(frozen=True)
class Endpoint:
    """One end of an edge: the folded stream of one node port."""

    node: str
    port: int
    shape: tuple[int, ...]
    folded: tuple[int, ...]
    datatype: str

    @property
    def lanes(self) -> int:
        """Elements per word."""
        return self.folded[-1]

    @property
    def words(self) -> int:
        """Words per frame."""
        return math.prod(self.folded[:-1])

    @property
    def width(self) -> int:
        """Bits per word."""
        return self.lanes * int(DataType[self.datatype].bitwidth())


def output_endpoint(op: HWCustomOp, port: int) -> Endpoint:
    """Describe output ``port`` of a node."""
    return Endpoint(
        op.onnx_node.name,
        port,
        tuple(int(n) for n in op.get_normal_output_shape(port)),
        tuple(int(n) for n in op.get_folded_output_shape(port)),
        op.get_output_datatype(port).name,
    )


def input_endpoint(op: HWCustomOp, port: int) -> Endpoint:
    """Describe streamed input ``port`` of a node."""
    return Endpoint(
        op.onnx_node.name,
        port,
        tuple(int(n) for n in op.get_normal_input_shape(port)),
        tuple(int(n) for n in op.get_folded_input_shape(port)),
        op.get_input_datatype(port).name,
    )


def fifo_name(producer: str | None, port: int) -> str:
    """Name of the FIFO behind an output port; the graph input counts as producer ``None``."""
    return "input_fifo" if producer is None else f"{producer}_fifo{port}"


def link_name(producer: str | None, port: int) -> str:
    """Name of the link behind an output port; the graph input counts as producer ``None``."""
    return "input_link" if producer is None else f"{producer}_link{port}"


def sizing_depth(words: int, waits: bool = False) -> int:
    """Storage of a FIFO while depths are still unknown.

    Args:
        words: words of a frame on its edge.
        waits: its reader joins streams, so that it holds what comes before the other stream.

    Returns:
        Four frames, within limits. Where words wait, sixteen: as many frames may be under way in
        a deep detour on small maps; within limits too, but two frames always.
    """
    if waits:
        return max(64, min(16 * words, max(WAITING_LIMIT, 2 * words)))
    return max(64, min(4 * words, SIZING_LIMIT))


@dataclass(frozen=True)
class _Edge:
    """One edge of the graph."""

    name: str
    writer: tuple[str, int] | None
    """Node and port; None for the graph input."""
    producer: Endpoint
    consumer: Endpoint | None
    """None for a graph output."""


def insert_streams(
    model: ModelWrapper, depths: Mapping[str, int] | None = None, *, everywhere: bool = False
) -> ModelWrapper:
    """Return the stitched graph of a folded, specialised dataflow graph.

    Args:
        model: dataflow graph whose nodes are all RTL ops, each tensor read by one node.
        depths: words per FIFO, by FIFO name (``<producer>_fifo<port>``, ``input_fifo``);
            None gives every FIFO the storage used for sizing.
        everywhere: put a FIFO on every edge.

    Returns:
        A new model; tensors of ``model`` keep their names at the producers' outputs.

    Raises:
        StreamError: an edge has no single reader, its two ends disagree, or ``depths`` misses
            or misnames a FIFO.
    """
    register()
    source = model.model.graph
    ops = {n.name: op_of(n) for n in source.node}
    if len(ops) != len(source.node):
        raise StreamError("found nodes that share a name, expected unique node names; rename them")
    edges = _edges(source, ops)
    interval = max(int(op.get_exp_cycles()) for op in ops.values())
    queued = {e.name for e in edges} if everywhere else elastic_edges(model, interval)
    linked = _linked(edges, ops, queued)
    joins = joining(source)

    out = copy.deepcopy(model.model)
    graph = out.graph
    nodes = {n.name: n for n in graph.node}
    inserted: dict[str, list[onnx.NodeProto]] = {}
    used: set[str] = set()

    for edge in edges:
        name, producer, consumer = edge.name, edge.producer, edge.consumer
        place: tuple[str | None, int] = edge.writer or (None, 0)
        base = fifo_name(*place) if name in queued else link_name(*place)
        # A FIFO holds the wider words: a converter that is always busy cannot make up for bursts.
        converts = consumer is not None and consumer.lanes != producer.lanes
        first = name in queued and consumer is not None and consumer.lanes > producer.lanes
        end = consumer if first and consumer is not None else producer
        half_rate = int(HALF_RATE * end.words <= interval)
        before, after = name, name
        chain: list[onnx.NodeProto] = []
        if first and consumer is not None:
            before = f"{name}_dwc"
            declare(graph, before, consumer)
            chain.append(_width_converter(base, name, before, producer, consumer))
        if name in queued | linked:
            after = f"{name}_{'fifo' if name in queued else 'link'}"
            if consumer is None and edge.writer is not None:
                before, after = f"{name}_word", name
                nodes[edge.writer[0]].output[edge.writer[1]] = before
                declare(graph, before, producer)
            else:
                declare(graph, after, end)
        if name in queued:
            waits = consumer is not None and consumer.node in joins
            depth = _depth(base, sizing_depth(end.words, waits), depths)
            chain.append(fifo_node(base, before, after, end, depth, half_rate, len(used)))
            used.add(base)
        elif name in linked:
            chain.append(_link(base, before, after, producer, half_rate))
        if consumer is not None:
            if converts and not first:
                narrow, after = after, f"{name}_dwc"
                declare(graph, after, consumer)
                chain.append(_width_converter(base, narrow, after, producer, consumer))
            nodes[consumer.node].input[consumer.port] = after
        for node in chain:
            if node.name in ops:
                raise StreamError(
                    f"node {node.name} has the name of what stands on an edge; rename the node"
                )
        inserted.setdefault(edge.writer[0] if edge.writer else "", []).extend(chain)

    if depths is not None and set(depths) - used:
        unknown = sorted(set(depths) - used)[0]
        raise StreamError(f"{unknown}: depth given for a FIFO the graph does not have")

    ordered = list(inserted.get("", []))
    for node in graph.node:
        ordered.append(node)
        ordered.extend(inserted.get(node.name, []))
    del graph.node[:]
    graph.node.extend(ordered)
    return ModelWrapper(out)


def remove_streams(model: ModelWrapper) -> ModelWrapper:
    """Return a stitched graph without what stands on its edges: what `insert_streams` was given."""
    out = copy.deepcopy(model.model)
    graph = out.graph
    on_edge = [n for n in graph.node if facts_of(n.op_type).on_edge]
    results = {value.name for value in graph.output}
    origin: dict[str, str] = {}
    for node in on_edge:
        origin[node.output[0]] = origin.get(node.input[0], node.input[0])
    final = {first: last for last, first in origin.items() if last in results}
    gone = {node.name for node in on_edge}
    kept = [node for node in graph.node if node.name not in gone]
    for node in kept:
        node.input[:] = [origin.get(name, name) for name in node.input]
        node.output[:] = [final.get(name, name) for name in node.output]
    del graph.node[:]
    graph.node.extend(kept)
    names = {*final, *origin} - results
    for table, key in ((graph.value_info, "name"), (graph.quantization_annotation, "tensor_name")):
        entries = [entry for entry in table if getattr(entry, key) not in names]
        del table[:]
        table.extend(entries)
    return ModelWrapper(out)


def _edges(graph: onnx.GraphProto, ops: Mapping[str, Any]) -> list[_Edge]:
    """Return the checked edges of a graph in topological order."""
    constants = {t.name for t in graph.initializer}
    readers: dict[str, list[tuple[str, int]]] = {}
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name and name not in constants:
                readers.setdefault(name, []).append((node.name, i))
    writers = {name: (node.name, i) for node in graph.node for i, name in enumerate(node.output)}
    if len(graph.input) != 1 or not graph.output:
        raise StreamError(
            f"found {len(graph.input)} graph inputs and {len(graph.output)} outputs, "
            "expected one input and at least one output"
        )
    graph_input, graph_outputs = graph.input[0].name, {value.name for value in graph.output}
    edges = []
    for name in [graph_input, *(t for n in graph.node for t in n.output)]:
        writer, ends = writers.get(name), readers.get(name, [])
        consumer = input_endpoint(ops[ends[0][0]], ends[0][1]) if ends else None
        if writer is not None:
            producer = output_endpoint(ops[writer[0]], writer[1])
        elif consumer is not None:
            producer = consumer
        else:
            raise StreamError(f"graph input {name} has no reader")
        _check_edge(name, producer, consumer, len(ends), name in graph_outputs)
        edges.append(_Edge(name, writer, producer, consumer))
    return edges


def _linked(edges: list[_Edge], ops: Mapping[str, Any], queued: set[str]) -> set[str]:
    """Return the edges without a FIFO that need a register."""
    found: set[str] = set()
    run: dict[str, int] = {}  # by edge: nodes that its ready has run through
    for edge in reversed(edges):
        name, consumer = edge.name, edge.consumer
        run[name] = 0
        if name in queued:
            continue
        if consumer is not None:
            op = ops[consumer.node]
            if not op.cuts_ready():
                run[name] = 1 + max(run[out] for out in op.onnx_node.output)
            run[name] += consumer.lanes != edge.producer.lanes
        writer = ops[edge.writer[0]] if edge.writer is not None else None
        if writer is None or consumer is None or not writer.cuts_output():
            cut = True
        else:
            cut = run[name] >= READY_RUN and not writer.cuts_ready()
        if cut:
            found.add(name)
            run[name] = 0
    return found


def _depth(fifo: str, storage: int, depths: Mapping[str, int] | None) -> int:
    """The depth of a FIFO: from a table, or its storage."""
    if depths is not None and fifo not in depths:
        raise StreamError(f"{fifo}: no depth given for this FIFO; size the FIFOs again")
    depth = storage if depths is None else depths[fifo]
    if depth < MIN_DEPTH:
        raise StreamError(f"{fifo}: found depth {depth}, expected at least {MIN_DEPTH}")
    return depth


def _check_edge(
    name: str, producer: Endpoint, consumer: Endpoint | None, readers: int, is_output: bool
) -> None:
    """Raise StreamError unless ``name`` joins one producer to one consumer that agree."""
    if readers + is_output != 1:
        raise StreamError(
            f"tensor {name} of {producer.node}: found {readers + is_output} readers, expected 1; "
            "put a DuplicateStreams in front of a fork"
        )
    if consumer is None:
        return
    if consumer.datatype != producer.datatype:
        raise StreamError(
            f"tensor {name}: {producer.node} writes {producer.datatype}, {consumer.node} reads "
            f"{consumer.datatype}; declare one datatype"
        )
    if math.prod(consumer.shape) != math.prod(producer.shape):
        raise StreamError(
            f"tensor {name}: {producer.node} writes shape {producer.shape}, {consumer.node} "
            f"reads {consumer.shape}"
        )


def declare(graph: onnx.GraphProto, name: str, end: Endpoint) -> None:
    """Add shape and datatype of a new tensor to the graph."""
    graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(end.shape)))
    annotation = onnx.TensorAnnotation(tensor_name=name)
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=end.datatype)
    graph.quantization_annotation.append(annotation)


def fifo_node(
    name: str, before: str, after: str, end: Endpoint, depth: int, half_rate: int, number: int
) -> onnx.NodeProto:
    """A FIFO of the producer's words."""
    return helper.make_node(
        "StreamingFIFO_rtl",
        [before],
        [after],
        name=name,
        domain=DOMAIN,
        backend="fpgadataflow",
        depth=depth,
        folded_shape=list(end.folded),
        normal_shape=list(end.shape),
        dataType=end.datatype,
        half_rate=half_rate,
        fifo_id=number,
    )


def _link(name: str, before: str, after: str, end: Endpoint, half_rate: int) -> onnx.NodeProto:
    """A register of the producer's words."""
    return helper.make_node(
        "StreamLink_rtl",
        [before],
        [after],
        name=name,
        domain=DOMAIN,
        backend="fpgadataflow",
        shape=list(end.shape),
        lanes=end.lanes,
        dataType=end.datatype,
        half_rate=half_rate,
    )


def _width_converter(
    base: str, before: str, after: str, producer: Endpoint, consumer: Endpoint
) -> onnx.NodeProto:
    """A width converter on an edge."""
    return helper.make_node(
        "StreamingDataWidthConverter_rtl",
        [before],
        [after],
        name=f"{base}_dwc",
        domain=DOMAIN,
        backend="fpgadataflow",
        inShape=list(producer.shape),
        outShape=list(consumer.shape),
        inWidth=producer.width,
        outWidth=consumer.width,
        dataType=producer.datatype,
    )

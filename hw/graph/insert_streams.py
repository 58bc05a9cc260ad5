# SPDX-License-Identifier: Apache-2.0
"""Turn a folded dataflow graph into the stitched graph: width converters and a FIFO on every edge.

One pass over the edges. Every edge becomes ``producer -> FIFO [-> width converter] -> consumer``,
so the FIFO carries the producer's words, whatever the consumer's folding.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..kernels import register

DOMAIN = "finn.custom_op.fpgadataflow.rtl"
MIN_DEPTH = 2
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


def joining(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the nodes that read more than one stream."""
    constants = {t.name for t in graph.initializer}
    return {n.name for n in graph.node if sum(i not in constants for i in n.input if i) > 1}


def insert_streams(model: ModelWrapper, depths: Mapping[str, int] | None = None) -> ModelWrapper:
    """Return the stitched graph of a folded, specialised dataflow graph.

    Args:
        model: dataflow graph whose nodes are all RTL ops, each tensor read by one node.
        depths: words per FIFO, by FIFO name (``<producer>_fifo<port>``, ``input_fifo``);
            None gives every FIFO the storage used for sizing.

    Returns:
        A new model; tensors of ``model`` keep their names at the producers' outputs.

    Raises:
        StreamError: an edge has no single reader, its two ends disagree, or ``depths`` misses
            or misnames a FIFO.
    """
    register()
    source = model.model.graph
    constants = {t.name for t in source.initializer}
    ops = {n.name: getCustomOp(n) for n in source.node}
    if len(ops) != len(source.node):
        raise StreamError("found nodes that share a name, expected unique node names; rename them")

    readers: dict[str, list[tuple[str, int]]] = {}
    for node in source.node:
        for i, name in enumerate(node.input):
            if name and name not in constants:
                readers.setdefault(name, []).append((node.name, i))
    writers = {name: (node.name, i) for node in source.node for i, name in enumerate(node.output)}
    if len(source.input) != 1 or not source.output:
        raise StreamError(
            f"found {len(source.input)} graph inputs and {len(source.output)} outputs, "
            "expected one input and at least one output"
        )
    joins = joining(source)
    graph_input, graph_outputs = source.input[0].name, {value.name for value in source.output}

    out = copy.deepcopy(model.model)
    graph = out.graph
    nodes = {n.name: n for n in graph.node}
    inserted: dict[str, list[onnx.NodeProto]] = {}
    used: set[str] = set()

    for name in [graph_input, *(t for n in source.node for t in n.output)]:
        writer = writers.get(name)
        ends = readers.get(name, [])
        consumer = input_endpoint(ops[ends[0][0]], ends[0][1]) if ends else None
        if writer is not None:
            producer = output_endpoint(ops[writer[0]], writer[1])
        elif consumer is not None:
            producer = consumer
        else:
            raise StreamError(f"graph input {name} has no reader")
        _check_edge(name, producer, consumer, len(ends), name in graph_outputs)

        fifo = fifo_name(writer[0] if writer else None, writer[1] if writer else 0)
        if fifo in ops:
            raise StreamError(f"node {fifo} has the name of a FIFO; rename the node")
        depth = sizing_depth(producer.words, consumer is not None and consumer.node in joins)
        if depths is not None:
            if fifo not in depths:
                raise StreamError(f"{fifo}: no depth given for this FIFO; size the FIFOs again")
            depth = depths[fifo]
        if depth < MIN_DEPTH:
            raise StreamError(f"{fifo}: found depth {depth}, expected at least {MIN_DEPTH}")

        before = name
        after = f"{name}_fifo"
        if name in graph_outputs and writer is not None:
            before, after = f"{name}_word", name
            nodes[writer[0]].output[writer[1]] = before
            _declare(graph, before, producer)
        if after not in graph_outputs:
            _declare(graph, after, producer)
        chain = [
            helper.make_node(
                "StreamingFIFO_rtl",
                [before],
                [after],
                name=fifo,
                domain=DOMAIN,
                backend="fpgadataflow",
                depth=depth,
                folded_shape=list(producer.folded),
                normal_shape=list(producer.shape),
                dataType=producer.datatype,
                fifo_id=len(used),
            )
        ]
        used.add(fifo)
        if consumer is not None:
            if consumer.lanes != producer.lanes:
                narrow = after
                after = f"{name}_dwc"
                _declare(graph, after, consumer)
                chain.append(_width_converter(fifo, narrow, after, producer, consumer))
            nodes[consumer.node].input[consumer.port] = after
        inserted.setdefault(writer[0] if writer else "", []).extend(chain)

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


def _declare(graph: onnx.GraphProto, name: str, end: Endpoint) -> None:
    """Add shape and datatype of a new tensor to the graph."""
    graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(end.shape)))
    annotation = onnx.TensorAnnotation(tensor_name=name)
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=end.datatype)
    graph.quantization_annotation.append(annotation)


def _width_converter(
    fifo: str, before: str, after: str, producer: Endpoint, consumer: Endpoint
) -> onnx.NodeProto:
    """A width converter behind ``fifo``."""
    return helper.make_node(
        "StreamingDataWidthConverter_rtl",
        [before],
        [after],
        name=f"{fifo}_dwc",
        domain=DOMAIN,
        backend="fpgadataflow",
        inShape=list(producer.shape),
        outShape=list(consumer.shape),
        inWidth=producer.width,
        outWidth=consumer.width,
        dataType=producer.datatype,
    )

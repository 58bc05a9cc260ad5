# SPDX-License-Identifier: Apache-2.0
"""The graph for FINN's own way to a bitstream: a stitched graph whose FIFOs FINN inserts.

FINN's InsertFIFO reads the depth of a FIFO from the nodes beside it. Here they hold the depths that
a simulation found, so that it inserts the same FIFOs at the same places. A FIFO that it would make
another way stays a node.
"""

from __future__ import annotations

import copy

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from ..kernels.ops import facts_of, op_of
from .insert_streams import MIN_DEPTH, declare, fifo_name, fifo_node, output_endpoint

OUTSIDE = ("shared_rom", "rom_first", "rom_space")
"""Attributes of a node that reads memories outside it: FINN's block design joins streams alone."""


def finn_graph(stitched: ModelWrapper) -> ModelWrapper:
    """Return a copy of a stitched, sized graph for FINN's passes.

    * ``inFIFODepths`` and ``outFIFODepths`` of every node hold a number for each of its streams:
      the depth of the FIFO there, or 2, for which InsertFIFO inserts none.
    * FIFOs are gone, but for those that InsertFIFO would not make the same: of two words, in a
      memory that was chosen, or behind an output unlike the first of its node.
    * Behind such an output there is always one, as InsertFIFO stops at any other node.
    * Every node has its constants inside.
    """
    model = ModelWrapper(copy.deepcopy(stitched.model))
    graph = model.graph
    nodes = [copy.deepcopy(node) for node in graph.node]
    writers = {name: node for node in nodes for name in node.output}
    readers = {name: node for node in nodes for name in node.input if name}
    depths = {
        node.name: ([MIN_DEPTH] * _streams(node), [MIN_DEPTH] * len(node.output))
        for node in nodes
        if not facts_of(node.op_type).is_fifo
    }
    kept: list[NodeProto] = []
    for node in nodes:
        if not facts_of(node.op_type).is_fifo:
            kept += [node, *_behind_unlike(model, node, readers)]
            continue
        before, after = node.input[0], node.output[0]
        writer, reader = writers.get(before), readers.get(after)
        op = op_of(node)
        depth, placed = int(op.get_nodeattr("depth")), op.get_nodeattr("ram_style") != "auto"
        if depth <= MIN_DEPTH or placed or (writer is not None and before in _unlike(writer)):
            kept.append(node)
            continue
        if writer is not None:
            depths[writer.name][1][list(writer.output).index(before)] = depth
        if reader is not None:
            port = list(reader.input).index(after)
            depths[reader.name][0][port] = depth
            reader.input[port] = before
        elif writer is not None:
            writer.output[list(writer.output).index(before)] = after
    for node in kept:
        attributes = [a for a in node.attribute if a.name not in OUTSIDE]
        del node.attribute[:]
        node.attribute.extend(attributes)
        if node.name in depths:
            op = op_of(node)
            op.set_nodeattr("inFIFODepths", depths[node.name][0])
            op.set_nodeattr("outFIFODepths", depths[node.name][1])
    del graph.node[:]
    graph.node.extend(kept)
    there = {name for node in kept for name in (*node.input, *node.output)}
    for table, key in ((graph.value_info, "name"), (graph.quantization_annotation, "tensor_name")):
        entries = [entry for entry in table if getattr(entry, key) in there]
        del table[:]
        table.extend(entries)
    return model


def _streams(node: NodeProto) -> int:
    """Inputs of a node that are streams; constants stand behind them."""
    op = op_of(node)
    return sum(op.get_instream_width(i) > 0 for i in range(len(node.input)))


def _unlike(node: NodeProto) -> list[str]:
    """Outputs of a node with another shape or datatype than its first, which InsertFIFO takes for
    all of them."""
    op = op_of(node)
    ends = [output_endpoint(op, port) for port in range(len(node.output))]
    facts = [(end.shape, end.folded, end.datatype) for end in ends]
    return [name for name, own in zip(node.output, facts, strict=True) if own != facts[0]]


def _behind_unlike(
    model: ModelWrapper, node: NodeProto, readers: dict[str, NodeProto]
) -> list[NodeProto]:
    """FIFOs of two words behind such outputs that have none."""
    made = []
    for before in _unlike(node):
        reader = readers.get(before)
        if reader is None or facts_of(reader.op_type).is_fifo:
            continue
        port = list(node.output).index(before)
        end = output_endpoint(op_of(node), port)
        after = f"{before}_fifo"
        declare(model.graph, after, end)
        made.append(fifo_node(fifo_name(node.name, port), before, after, end, MIN_DEPTH, 0, 0))
        reader.input[list(reader.input).index(before)] = after
    return made

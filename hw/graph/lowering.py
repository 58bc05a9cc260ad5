# SPDX-License-Identifier: Apache-2.0
"""Lowers a cleaned QONNX graph to the integer dataflow graph, by patterns and exactly.

The nodes are visited in topological order. Nodes that begin or end a pattern (convolutions, pools,
quantisers, ...) become nodes of the dataflow graph; the arithmetic between them is claimed by the
pattern that contains it. What no pattern claims is an error that names the node. All integers are
read from the graph's constants; nothing is computed anew or rounded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from qonnx.core.modelwrapper import ModelWrapper

from .heads import Head, Kind, check_kinds, kinds_of, software_of, write_heads
from .lower import handlers
from .lower.heads import End, end
from .lower.state import Handler, Lowering
from .pixels import READS, noted, pixels_of
from .qonnx_graph import LoweringError, QonnxGraph
from .threshold_pattern import COMPARISONS

ARITHMETIC = (*COMPARISONS, "Where")
"""Ops that patterns claim, whose own turn may pass."""
MAX_HARDWARE_NODES = 2000
"""Most nodes of a dataflow graph: qonnx's and FINN's passes take time quadratic in them."""


def lower(
    model: onnx.ModelProto | ModelWrapper | Path | str,
    name: str = "andpop",
    heads: Mapping[str, Kind] | None = None,
) -> ModelWrapper:
    """Lower a QONNX network to a dataflow graph of abstract ops.

    Args:
        model: cleaned QONNX (shapes inferred, constants folded), NCHW, batch 1, as
            quant/export_qonnx.py writes it.
        name: name of the graph.
        heads: output -> "raw" or "map" where it leaves as the integers it is; None: as the
            network's metadata says (`heads.kinds_of`). An output that is left out is logits, of
            which a class is picked, or a class per pixel of a map.

    Returns:
        The dataflow graph of docs/03_reference/dataflow.md, unfolded, with its layer boundaries
        (see `builder.boundaries`) and its heads (`heads.heads_of`), named as the outputs of the
        network.

    Raises:
        LoweringError: a node cannot be lowered; names it, its op, why, and what is supported.
        ValueError: ``heads`` names no output, or no kind.
    """
    if isinstance(model, (str, Path)):
        model = onnx.load(model, load_external_data=False)
    proto = model.model if isinstance(model, ModelWrapper) else model
    kinds = kinds_of(proto) if heads is None else heads
    check_kinds(proto, kinds)
    state = Lowering(QonnxGraph(proto), name, pixels_of(proto))
    _walk(state)
    software = software_of(proto)
    ends = [
        end(state, value.name, kinds, software.get(value.name)) for value in state.graph.outputs
    ]
    for node in state.graph.nodes:
        if node.name not in state.claimed:
            raise left_over(state, node)
    graph = state.builder.finish(*(found.stream for found in ends))
    write_heads(graph.model, _heads(graph.graph, ends))
    reads = noted(proto, READS)
    if reads is not None:
        reads.note(graph.model, READS)
    return graph


def left_over(state: Lowering, node: onnx.NodeProto) -> LoweringError:
    """Return why a node has become nothing behind the whole walk."""
    why = "belongs to no supported pattern (BN + RPReLU epilogue, RSign, rounding shift)"
    return state.passed.get(node.name, LoweringError(node, why))


def _heads(graph: onnx.GraphProto, ends: list[End]) -> list[Head]:
    """Name the tensors that leave a graph and, of classes, those they are picked from."""
    read = {name: node.input[0] for node in graph.node for name in node.output}
    heads = []
    for found, output in zip(ends, graph.output, strict=True):
        logits = read[output.name] if found.kind in ("class", "class_map") else ""
        heads.append(Head(found.name, found.kind, output.name, logits, found.software))
    return heads


def _walk(state: Lowering) -> None:
    table = handlers()
    for node in state.graph.nodes:
        visit(state, node, table)


def visit(state: Lowering, node: onnx.NodeProto, table: Mapping[str, list[Handler]]) -> None:
    """Ask the handlers of a node whose turn has come, unless a pattern has claimed it.

    Raises:
        LoweringError: it, or a node it reads, cannot be lowered.
    """
    if node.name in state.claimed:
        return
    if node.op_type not in table:
        if node.op_type in ARITHMETIC:
            return
        supported = ", ".join([*table, *ARITHMETIC])
        raise LoweringError(node, f"this op cannot be lowered; supported: {supported}")
    for handler in table[node.op_type]:
        if handler(state, node):
            break
    if state.builder.size > MAX_HARDWARE_NODES:
        raise LoweringError(
            node,
            f"up to here the network becomes more than {MAX_HARDWARE_NODES} nodes of "
            "hardware, expected fewer; is this a network for an FPGA?",
        )

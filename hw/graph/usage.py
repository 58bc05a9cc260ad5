# SPDX-License-Identifier: Apache-2.0
"""What a network takes of a part: the sum of what its nodes state, links and FIFOs included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qonnx.core.modelwrapper import ModelWrapper

from ..kernels import register
from ..kernels.costs import Usage
from ..kernels.ops import facts_of, op_of
from .elasticity import expected_waiting
from .fifo_sizing import round_depth
from .insert_streams import insert_streams
from .pair_roms import KIND, shared_roms


@dataclass(frozen=True)
class NodeUsage:
    """One node of a network, or what stands on its edges."""

    name: str
    op: str
    usage: Usage


def total(rows: Iterable[NodeUsage]) -> Usage:
    """Return the sum over nodes."""
    found = Usage()
    for row in rows:
        found += row.usage
    return found


def network_usage(model: ModelWrapper, depths: Mapping[str, int] | None = None) -> list[NodeUsage]:
    """Return what every node of a folded graph takes, with what stands on its edges; behind them
    the memories that two share.

    Args:
        model: folded dataflow graph, or a stitched one, which says itself how deep its FIFOs are.
        depths: words per FIFO of a graph that is not stitched; None for those to be expected.
    """
    register()
    if not any(facts_of(node.op_type).on_edge for node in model.graph.node):
        model = _stitched(model, depths)
    nodes = [
        NodeUsage(node.name, node.op_type.removesuffix("_rtl"), op_of(node).stated())
        for node in model.graph.node
    ]
    return nodes + [NodeUsage(rom.name, KIND, rom.usage) for rom in shared_roms(model)]


def _stitched(model: ModelWrapper, depths: Mapping[str, int] | None) -> ModelWrapper:
    """Stitch a graph, its FIFOs as deep as they probably have to be."""
    stitched = insert_streams(model, depths)
    if depths is not None:
        return stitched
    words = expected_waiting(model)
    before: dict[str, str] = {}
    for node in stitched.graph.node:
        if not facts_of(node.op_type).on_edge:
            continue
        tensor = before[node.output[0]] = before.get(node.input[0], node.input[0])
        if not facts_of(node.op_type).is_fifo:
            continue
        op = op_of(node)
        stored = words.get(tensor, 0) // int(op.get_folded_output_shape()[-1])
        op.set_nodeattr("depth", round_depth(max(2, stored), int(op.get_instream_width())))
    return stitched

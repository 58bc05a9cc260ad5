# SPDX-License-Identifier: Apache-2.0
"""Where the memories of FIFOs lie, once their depths are known: balanced as those of nodes are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qonnx.core.modelwrapper import ModelWrapper

from ..graph.balance_memories import balance
from ..graph.fifo_sizing import FifoDepth, load_depths, save_depths
from ..graph.usage import NodeUsage, network_usage, total
from ..kernels.choice import IMPLEMENTATION
from ..kernels.costs import Usage
from ..kernels.ops import facts_of, op_of
from .emit_top import set_depths
from .runs import FIFO_FILE

LUT_BANK = 64
"""Words of a bank of LUT RAM: depths in LUTs are multiples of it."""


def settle_fifos(folder: Path, allowed: Usage) -> list[NodeUsage]:
    """Move FIFOs of a sized folder between block RAM and LUTs until the network fits.

    What simulation sees of a FIFO is its depth, which stays enough for its peak.

    Args:
        folder: emitted folder whose FIFOs are sized; its graph, depths and package are changed.
        allowed: what the network may take.

    Returns:
        What every node takes then; more than allowed where FIFOs alone do not help.
    """
    stitched = folder / "stitched.onnx"
    model = ModelWrapper(str(stitched))
    rows = network_usage(model)
    if total(rows).within(allowed):
        return rows
    sized = {fifo.name: fifo for fifo in load_depths(folder / FIFO_FILE)}
    fixed = set()
    for node in model.graph.node:
        op = op_of(node)
        if facts_of(node.op_type).is_fifo:
            # Block RAM holds more than is needed; in LUTs each word counts.
            op.set_nodeattr("depth", _least(sized[node.name]))
        else:
            fixed |= {(node.name, attribute) for attribute in (*op.places, IMPLEMENTATION)}
    _, moves = balance(model, total(network_usage(model)), allowed, 1 << 62, fixed)
    places = {move.node: move.value for move in moves}
    depths = {
        name: _moved(fifo) if places.get(name) == "distributed" else fifo
        for name, fifo in sized.items()
    }
    model.save(str(stitched))
    set_depths(folder, {name: fifo.depth for name, fifo in depths.items()})
    save_depths(depths.values(), folder / FIFO_FILE)
    return network_usage(ModelWrapper(str(stitched)))


def _least(fifo: FifoDepth) -> int:
    """The least depth in LUTs that holds the peak; a shallow FIFO stays as it is."""
    return min(fifo.depth, max(LUT_BANK, -(-fifo.peak // LUT_BANK) * LUT_BANK))


def _moved(fifo: FifoDepth) -> FifoDepth:
    depth = _least(fifo)
    return replace(fifo, depth=depth, bits=depth * fifo.width)

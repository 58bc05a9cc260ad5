# SPDX-License-Identifier: Apache-2.0
"""Lowers a cleaned QONNX graph to the integer dataflow graph, by patterns and exactly.

The nodes are visited in topological order. Nodes that begin or end a pattern (convolutions, pools,
quantisers, ...) become nodes of the dataflow graph; the arithmetic between them is claimed by the
pattern that contains it. What no pattern claims is an error that names the node. All integers are
read from the graph's constants; nothing is computed anew or rounded here.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from qonnx.core.modelwrapper import ModelWrapper

from .lower import handlers
from .lower.heads import label_select
from .lower.state import Lowering
from .pixels import pixels_of
from .qonnx_graph import LoweringError, QonnxGraph
from .threshold_pattern import COMPARISONS

ARITHMETIC = (*COMPARISONS, "Floor", "Where")
"""Ops that only patterns claim."""
MAX_HARDWARE_NODES = 2000
"""Most nodes of a dataflow graph: qonnx's and FINN's passes take time quadratic in them."""


def lower(model: onnx.ModelProto | ModelWrapper | Path | str, name: str = "andpop") -> ModelWrapper:
    """Lower a QONNX network to a dataflow graph of abstract ops.

    Args:
        model: cleaned QONNX (shapes inferred, constants folded), NCHW, batch 1, as
            quant/export_qonnx.py writes it.
        name: name of the graph.

    Returns:
        The dataflow graph of docs/03_reference/dataflow.md, unfolded, with its layer boundaries
        (see `builder.boundaries`).

    Raises:
        LoweringError: a node cannot be lowered; names it, its op, why, and what is supported.
    """
    if isinstance(model, (str, Path)):
        model = onnx.load(model, load_external_data=False)
    proto = model.model if isinstance(model, ModelWrapper) else model
    state = Lowering(QonnxGraph(proto), name, pixels_of(proto))
    _walk(state)
    output = label_select(state)
    for node in state.graph.nodes:
        if node.name not in state.claimed:
            raise state.passed.get(
                node.name,
                LoweringError(
                    node,
                    "belongs to no supported pattern (BN + RPReLU epilogue, RSign, rounding shift)",
                ),
            )
    return state.builder.finish(output)


def _walk(state: Lowering) -> None:
    """Ask the handlers of every node that no pattern has claimed when its turn comes."""
    table = handlers()
    for node in state.graph.nodes:
        if node.name in state.claimed or node.op_type in ARITHMETIC:
            continue
        if node.op_type not in table:
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

# SPDX-License-Identifier: Apache-2.0
"""Picks the RTL backend of every node: FINN's SpecializeLayers with our names kept."""

from __future__ import annotations

from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..boards import DEFAULT_BOARD
from ..kernels import register
from ..kernels.base import Kernel
from .qonnx_graph import LoweringError


def specialise(model: ModelWrapper, part: str = DEFAULT_BOARD.part) -> ModelWrapper:
    """Turn the abstract ops of a dataflow graph into RTL ops (``<Op>_rtl``).

    Python execution (``exec_mode`` cppsim) is switched on, so that FINN's ``execute_onnx`` runs
    the graph as it is.

    Args:
        model: dataflow graph as `lowering.lower` returns it; it is left as it is.
        part: FPGA part; all ops of the contract are RTL on any.

    Raises:
        LoweringError: an op has no RTL backend.
    """
    register()
    before = {node.output[0]: (i, node.name) for i, node in enumerate(model.graph.node)}
    model = model.transform(SpecializeLayers(part), make_deepcopy=True)
    # SpecializeLayers numbers all nodes anew and sorts them another way: undo both.
    nodes = sorted(model.graph.node, key=lambda node: before[node.output[0]][0])
    for node in nodes:
        node.name = before[node.output[0]][1]
        if not node.op_type.endswith("_rtl"):
            raise LoweringError(node, "found no RTL backend, expected one in hw/kernels or FINN")
        node.attribute.append(helper.make_attribute("exec_mode", "cppsim"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for node in model.graph.node:
        op = getCustomOp(node)
        if isinstance(op, Kernel):
            op.read_constants(model)
    return model

# SPDX-License-Identifier: Apache-2.0
"""A case of a kernel as a FINN model of one node."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ...quant.grid import container
from ...sim.cases import Case
from . import register


def one_node(case: Case) -> tuple[ModelWrapper, Any]:
    """Return the model of a case, specialised to RTL and with its initializers, and its op."""
    register()
    outputs = [f"y{i}" for i in range(len(case.output_types))]
    node = helper.make_node(
        f"{case.op_type}_rtl",
        [o.name for o in case.operands],
        outputs,
        name=f"{case.op_type}_0",
        domain="finn.custom_op.fpgadataflow.rtl",
        backend="fpgadataflow",
        **case.attrs,
    )
    graph = helper.make_graph(
        [node],
        "case",
        [
            helper.make_tensor_value_info(o.name, TensorProto.FLOAT, o.shape)
            for o in case.operands
            if o.streamed
        ],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
    )
    model = ModelWrapper(helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]))
    initializers = iter(case.make_initializers())
    for operand in case.operands:
        if not operand.streamed:
            model.set_initializer(operand.name, container(next(initializers)))
        model.set_tensor_datatype(operand.name, DataType[operand.datatype])
    op = getCustomOp(model.graph.node[0])
    for index, (name, datatype) in enumerate(zip(outputs, case.output_types, strict=True)):
        model.set_tensor_shape(name, list(op.get_normal_output_shape(index)))
        model.set_tensor_datatype(name, DataType[datatype])
    return model, op

# SPDX-License-Identifier: Apache-2.0
"""Nodes of constants become constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from .clean_state import Cleaning
from .qonnx_graph import LoweringError


def fold(state: Cleaning, node: onnx.NodeProto, types: Sequence[onnx.TypeProto]) -> None:
    """Replace a node of constants by its outputs, as ONNX Runtime computes them."""
    shapes = [tuple(d.dim_value for d in t.tensor_type.shape.dim) for t in types]
    state.spend(node, shapes)
    if node.op_type in ("Div", "Mod"):
        divisor = state.value(node.input[1])
        # Whole numbers divided by 0, or the least by -1, stop the process.
        if divisor is None or (divisor.dtype.kind in "iu" and not (divisor > 0).all()):
            raise LoweringError(node, "divides whole numbers by others than positive ones")
    named = [(n, t) for n, t in zip(node.output, types, strict=True) if n]
    graph = helper.make_graph(
        [node],
        "constant",
        [],
        [helper.make_value_info(name, kind) for name, kind in named],
        initializer=[state.constants[n] for n in dict.fromkeys(node.input) if n],
    )
    opset = helper.make_opsetid("", state.opset)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        values = session.run([name for name, _ in named], {})
    except Exception as error:  # Bindings of C++: their exceptions share no other base.
        why = " ".join(str(error).split())[:200]
        raise LoweringError(node, f"ONNX Runtime cannot compute it: {why}") from error
    for (name, _), value in zip(named, values, strict=True):
        state.set_constant(name, value)


def known_shape(state: Cleaning, node: onnx.NodeProto) -> None:
    """A Shape or Size is a constant: all sizes are known, those of a line as the file has them."""
    shape = np.array(state.shape(node.input[0]), dtype=np.int64)
    if node.input[0] in state.lines:
        shape = np.delete(shape, -2)
    given = {a.name: a.i for a in node.attribute}
    value = shape[given.get("start", 0) : given.get("end", len(shape))]
    state.set_constant(node.output[0], value if node.op_type == "Shape" else shape.prod())

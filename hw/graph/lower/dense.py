# SPDX-License-Identifier: Apache-2.0
"""Fully connected layers: a product."""

from __future__ import annotations

import onnx

from ..qonnx_graph import LoweringError
from .product import accumulate
from .state import Handler, Lowering
from .weights import weights_of


def gemm(state: Lowering, node: onnx.NodeProto) -> bool:
    x = state.stream(node, levels=True)
    attributes = state.graph.attributes(node)
    if attributes.get("transA", 0) or {attributes.get(k, 1.0) for k in ("alpha", "beta")} != {1.0}:
        raise LoweringError(node, "found transA, alpha or beta, expected x @ W + bias")
    weight, scale = weights_of(state, node)
    matrix = weight.T if attributes.get("transB", 0) else weight
    accumulate(state, node, x, matrix, scale)
    return True


def mat_mul(state: Lowering, node: onnx.NodeProto) -> bool:
    x = state.stream(node, levels=True)
    weight, scale = weights_of(state, node)
    before = state.graph.shape(node.input[0])
    if weight.ndim != 2 or len(before) != 2:
        raise LoweringError(
            node,
            f"multiplies the last axis of a tensor of shape {before} by weights of shape "
            f"{weight.shape}, expected (1, C) by (C, outputs): flatten the map in front",
        )
    accumulate(state, node, x, weight, scale)
    return True


HANDLERS: dict[str, Handler] = {"Gemm": gemm, "MatMul": mat_mul}

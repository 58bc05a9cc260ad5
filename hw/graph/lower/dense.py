# SPDX-License-Identifier: Apache-2.0
"""Fully connected layers: a product."""

from __future__ import annotations

import math
from dataclasses import replace

import onnx

from ..builder import Stream
from ..qonnx_graph import FloatArray, LoweringError, Steps
from .construct import Construct
from .flattening import in_pixels, one_vector
from .product import accumulate
from .shifted import Windows, accumulate_shifted
from .state import Handler, Lowering, layer_of
from .weights import weights_of


def gemm(state: Lowering, node: onnx.NodeProto) -> bool:
    x = state.stream(node, levels=True, flat=True, shifted=True)
    attributes = state.graph.attributes(node)
    if attributes.get("transA", 0) or {attributes.get(k, 1.0) for k in ("alpha", "beta")} != {1.0}:
        raise LoweringError(node, "found transA, alpha or beta, expected x @ W + bias")
    weight, scale = weights_of(state, node)
    matrix = weight.T if attributes.get("transB", 0) else weight
    _multiply(state, node, x, matrix, scale)
    return True


def mat_mul(state: Lowering, node: onnx.NodeProto) -> bool:
    x = state.stream(node, levels=True, flat=True, shifted=True)
    weight, scale = weights_of(state, node)
    before = state.graph.shape(node.input[0])
    if weight.ndim != 2 or len(before) != 2:
        raise LoweringError(
            node,
            f"multiplies the last axis of a tensor of shape {before} by weights of shape "
            f"{weight.shape}, expected (1, C) by (C, outputs): flatten the map in front, or have "
            "layers that read the last axis alone between the input and it",
        )
    _multiply(state, node, x, weight, scale)
    return True


def _multiply(
    state: Lowering, node: onnx.NodeProto, x: Stream, matrix: FloatArray, scale: Steps
) -> None:
    """A product; of a flattened map the rows of the weights change places, not the values."""
    if x.plan:
        features = math.prod(x.plan)
        if len(matrix) != features:
            raise LoweringError(
                node, f"found weights for {len(matrix)} inputs, expected {features} of {x.name}"
            )
        matrix = in_pixels(matrix, x.plan)
        pixels = features // x.plan[2]
        zeros, factors = x.zeros * pixels, x.factors * pixels
        x = replace(one_vector(state, layer_of(node), x), plan=(), zeros=zeros, factors=factors)
    if x.zeros:
        plain = replace(x, zeros=(), factors=())
        accumulate_shifted(state, node, plain, x, matrix, scale, Windows())
    else:
        accumulate(state, node, x, matrix, scale)


BUILDS = (
    Construct(
        ("Gemm", "MatMul"),
        "fully connected layer",
        "codes of 1 to 9 bits, less a mean and over a std too, weights of 1 to 8",
        ("xnor_mvu", "binary_mvu", "int_mvu"),
        "x @ W + bias, of a vector or of each pixel by a 1x1 convolution",
    ),
)
HANDLERS: dict[str, Handler] = {"Gemm": gemm, "MatMul": mat_mul}

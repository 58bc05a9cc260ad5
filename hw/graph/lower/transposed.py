# SPDX-License-Identifier: Apache-2.0
"""Transposed convolutions that double a map: a product, its pixels moved beside each other."""

from __future__ import annotations

from typing import Any

import onnx

from ..qonnx_graph import LoweringError
from .construct import Construct
from .interleaving import interleaved
from .matrix_vector import matrix_vector
from .state import Handler, Lowering, layer_of
from .weights import weights_of


def convolve_transposed(state: Lowering, node: onnx.NodeProto) -> bool:
    """Transposed 2x2 convolution of stride 2: every pixel gives four, each by a product."""
    x = state.stream(node)
    weight, scale = weights_of(state, node)
    attributes = state.graph.attributes(node)
    plain: dict[str, Any] = {"group": 1, "auto_pad": "NOTSET", "strides": [2, 2]}
    plain |= {"pads": [0] * 4, "output_padding": [0, 0], "dilations": [1, 1]}
    plain |= {"output_shape": []}
    found = {k: attributes.get(k, v) for k, v in plain.items()}
    if weight.shape[2:] != (2, 2) or found != plain or len(node.input) > 2:
        raise LoweringError(
            node,
            f"found a kernel {weight.shape[2:]} with {len(node.input) - 2} biases and "
            f"{found}, expected 2x2 of stride 2, no bias, group "
            "or padding, and dilation 1",
        )
    matrix = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    state.claim(node)
    if scale.size > 1:
        raise LoweringError(node, "found one weight scale per output, expected one for all")
    # The accumulators are interleaved, not their codes: thresholds in front would cost four
    # times their memory, and this way every tensor of the network is one of the graph.
    acc = matrix_vector(state, node, layer_of(node), x, matrix, x.scale * scale[0], None)
    state.publish(interleaved(state, layer_of(node), acc), node.output[0])
    return True


BUILDS = (
    Construct(
        ("ConvTranspose",),
        "transposed 2x2 convolution of stride 2",
        "codes of 1 to 9 bits, weights of 1 to 8",
        ("int_mvu", "pixel_interleave"),
        "one weight scale, no border, no bias",
    ),
)
HANDLERS: dict[str, Handler] = {"ConvTranspose": convolve_transposed}

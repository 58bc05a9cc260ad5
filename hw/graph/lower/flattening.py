# SPDX-License-Identifier: Apache-2.0
"""Flattenings of one pixel, which change nothing."""

from __future__ import annotations

import onnx

from ..qonnx_graph import LoweringError
from .state import Handler, Lowering


def flatten(state: Lowering, node: onnx.NodeProto) -> bool:
    """(1, C, 1, 1) -> (1, C): the same stream."""
    if node.input[0] not in state.streams and state.ends_graph(node.input[0]):
        return True  # Behind factors and offsets of the logits: what claims them claims it.
    x = state.stream(node)
    shape = state.graph.shape(node.output[0])
    if x.shape[:-1] != (1, 1, 1) or shape != (1, x.channels):
        raise LoweringError(
            node,
            f"turns a map {x.shape} (NHWC) into {shape}, expected the flattening of one "
            "pixel, a channel shuffle behind a Concat, or the interleaving of four pixels",
        )
    state.claim(node)
    state.streams[node.output[0]] = x
    return True


HANDLERS: dict[str, Handler] = {"Reshape": flatten, "Flatten": flatten, "Squeeze": flatten}

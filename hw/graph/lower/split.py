# SPDX-License-Identifier: Apache-2.0
"""Channels dealt out to several tensors: StreamingSplit."""

from __future__ import annotations

import onnx

from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of


def split(state: Lowering, node: onnx.NodeProto) -> bool:
    x = state.stream(node)
    if state.graph.attributes(node).get("axis", 0) not in (1, -3):
        raise LoweringError(node, "splits another axis, expected axis 1 (channels)")
    sizes = [state.graph.shape(name)[1] for name in node.output]
    if sum(sizes) != x.channels:
        raise LoweringError(node, f"found parts of {sizes} channels, expected {x.channels}")
    for name in node.output:
        if not state.graph.consumers[name] and not state.graph.is_output(name):
            raise LoweringError(node, f"nobody reads its output {name}, expected all be read")
    parts = state.builder.add(
        "StreamingSplit",
        layer_of(node),
        [x],
        [((*x.shape[:-1], n), x.datatype) for n in sizes],
        {
            "SIMD": 1,
            "ChannelsPerStream": sizes,
            "inputDataType": x.datatype,
            "numInputVectors": x.vectors,
        },
        scale=x.scale,
    )
    state.claim(node)
    for part, name in zip(parts, node.output, strict=True):
        state.publish(part, name)
    return True


BUILDS = (
    Construct(
        ("Split",),
        "channels dealt out to several tensors",
        "any",
        ("streaming_split",),
        "axis 1; every part is read",
    ),
)
HANDLERS: dict[str, Handler] = {"Split": split}

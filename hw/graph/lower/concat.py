# SPDX-License-Identifier: Apache-2.0
"""Channels of two tensors behind each other: StreamingConcat."""

from __future__ import annotations

import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of

WHY = (
    "expected Concat of two tensors on axis 1, or of two equal halves -> "
    "Reshape(n,2,c,h,w) -> Transpose(0,2,1,3,4) -> Reshape(n,2c,h,w)"
)


def concat(state: Lowering, node: onnx.NodeProto) -> bool:
    """Concat of two tensors."""
    first, second = joined(state, node)
    channels = [first.channels, second.channels]
    (y,) = state.builder.add(
        "StreamingConcat",
        layer_of(node),
        [first, second],
        [((*first.shape[:-1], sum(channels)), first.datatype)],
        {
            "SIMD": 1,
            "ChannelsPerStream": channels,
            "inputDataTypes": [first.datatype] * 2,
            "numInputVectors": first.vectors,
        },
        scale=first.scale,
    )
    state.claim(node)
    state.publish(y, node.output[0])
    return True


def joined(state: Lowering, node: onnx.NodeProto, equal: bool = False) -> tuple[Stream, Stream]:
    """Return the two streams of a Concat; ``equal``: they must have as many channels.

    Raises:
        LoweringError: there are others than two, they do not fit together, or another axis.
    """
    if len(node.input) != 2 or state.graph.attributes(node)["axis"] not in (1, -3):
        raise LoweringError(node, WHY)
    left, right = state.stream(node, 0), state.stream(node, 1)
    same = (left.datatype, left.scale, left.vectors) == (
        right.datatype,
        right.scale,
        right.vectors,
    )
    if not same or (equal and left.channels != right.channels):
        raise LoweringError(
            node,
            f"found {left.datatype} {left.shape} of scale {float(left.scale):g} and "
            f"{right.datatype} {right.shape} of scale {float(right.scale):g}, expected "
            f"{'equal ones' if equal else 'one datatype, scale and picture size'}",
        )
    return left, right


BUILDS = (
    Construct(
        ("Concat",),
        "channels of several tensors behind one another",
        "any, one datatype and scale for all",
        ("streaming_concat",),
        "axis 1",
    ),
)
HANDLERS: dict[str, Handler] = {"Concat": concat}

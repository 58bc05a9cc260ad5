# SPDX-License-Identifier: Apache-2.0
"""Channels of several tensors behind each other: StreamingConcat."""

from __future__ import annotations

import onnx

from ....quant.grid import smallest_signed, smallest_unsigned
from ..builder import Stream
from ..factors import common_step
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of, limits

MAX_FACTOR = 255
"""Largest multiple of a code."""
WHY = (
    "expected Concat of two tensors or more on axis 1, or of two equal halves -> "
    "Reshape(n,2,c,h,w) -> Transpose(0,2,1,3,4) -> Reshape(n,2c,h,w)"
)


def concat(state: Lowering, node: onnx.NodeProto) -> bool:
    """Concat of two tensors or more; codes of different steps become those of a common one."""
    if len(node.input) < 2 or state.graph.attributes(node)["axis"] not in (1, -3):
        raise LoweringError(node, WHY)
    streams = _alike(state, node, [state.stream(node, i) for i in range(len(node.input))])
    channels = [x.channels for x in streams]
    (y,) = state.builder.add(
        "StreamingConcat",
        layer_of(node),
        streams,
        [((*streams[0].shape[:-1], sum(channels)), streams[0].datatype)],
        {
            "SIMD": 1,
            "ChannelsPerStream": channels,
            "inputDataTypes": [x.datatype for x in streams],
            "numInputVectors": streams[0].vectors,
        },
        scale=streams[0].scale,
    )
    state.claim(node)
    state.publish(y, node.output[0])
    return True


def _alike(state: Lowering, node: onnx.NodeProto, streams: list[Stream]) -> list[Stream]:
    """Bring streams to one datatype and scale: each times an integer, in the type that holds all.

    Raises:
        LoweringError: their pictures have different sizes, or their scales no small common step.
    """
    if len({tuple(x.vectors) for x in streams}) > 1:
        shapes = ", ".join(f"{x.name} {x.shape}" for x in streams)
        raise LoweringError(node, f"joins {shapes}, expected one picture size (NHWC)")
    if len({(x.datatype, x.scale) for x in streams}) == 1:
        return streams
    factors, step = common_step([x.scale for x in streams])
    signs = [x.name for x in streams if x.datatype == "BINARY" or x.levels]
    if signs or max(factors) > MAX_FACTOR:
        found = ", ".join(f"{x.name} {x.datatype} of scale {float(x.scale):g}" for x in streams)
        raise LoweringError(
            node,
            f"joins {found}, expected integers whose scales have a common step of which all are at "
            f"most {MAX_FACTOR} times; use one scale for all quantisers in front",
        )
    ends = [
        (f * low, f * high)
        for f, (low, high) in zip(factors, (limits(x.datatype) for x in streams), strict=True)
    ]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    datatype = smallest_signed(low, high) if low < 0 else smallest_unsigned(high)
    return [
        x if (f, x.datatype) == (1, datatype) else state.multiple(node, x, f, datatype, step)
        for f, x in zip(factors, streams, strict=True)
    ]


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
        "any; integers of different scales whose common step all are at most 255 times",
        ("streaming_concat", "add_streams"),
        "axis 1",
    ),
)
HANDLERS: dict[str, Handler] = {"Concat": concat}

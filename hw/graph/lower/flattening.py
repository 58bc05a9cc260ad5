# SPDX-License-Identifier: Apache-2.0
"""Flattenings of maps: a name for the same stream, until a product wants one vector."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of

T = TypeVar("T", bound=np.generic)
WHY = (
    "expected (1, C*H*W) of a map (1, C, H, W), the map again, a channel shuffle behind a Concat, "
    "or the interleaving of four pixels"
)


def flatten(state: Lowering, node: onnx.NodeProto) -> bool:
    """(1, C, H, W) -> (1, C*H*W), or back: the same stream."""
    if node.input[0] not in state.streams and state.ends_graph(node.input[0]):
        return True  # Behind factors and offsets of the logits: what claims them claims it.
    state.scaled(node.input[0])
    # A picture may be normalised by no integers: moved it is the same.
    readers = state.graph.consumers[node.output[0]]
    multiplied = all(reader.op_type in ("Gemm", "MatMul") for reader in readers)
    line = state.line(node.input[0]) if multiplied else None
    x = state.streams.get(node.input[0]) or line or state.stream(node)
    shape = state.graph.shape(node.output[0])
    plan = x.plan or x.shape[1:]
    height, width, channels = plan
    if shape == (1, math.prod(plan)):
        # Of one pixel or one channel both orders are the same.
        plain = x.shape[1:3] == (1, 1) and (channels == 1 or height == width == 1)
        y = replace(x, plan=() if plain else plan)
    elif shape == (1, channels, height, width) and x.shape[1:] == plan:
        y = replace(x, plan=())
    else:
        raise LoweringError(node, f"turns a map {plan} (HWC) into {shape}, {WHY}")
    state.claim(node)
    (state.lines if y.zeros else state.streams)[node.output[0]] = y
    return True


def transpose(state: Lowering, node: onnx.NodeProto) -> bool:
    """Channels behind the pixels, then (1, H*W*C): the order of the stream as it is."""
    readers = state.graph.consumers[node.output[0]]
    perm = list(state.graph.attributes(node).get("perm", ()))
    flat = len(readers) == 1 and readers[0].op_type in ("Reshape", "Flatten")
    shapes = [state.graph.shape(reader.output[0]) for reader in readers]
    if perm != [0, 2, 3, 1] or not flat or len(shapes[0]) != 2:
        raise LoweringError(
            node,
            f"permutes the axes by {perm} for {[n.op_type for n in readers]}, expected "
            "[0, 2, 3, 1] in front of a flattening alone, a channel shuffle, or the interleaving "
            "of four pixels; export the network with channels in front (NCHW)",
        )
    (reader,) = readers
    y = one_vector(state, layer_of(reader), state.stream(node, levels=True))
    state.claim(node, reader)
    state.streams[reader.output[0]] = y
    return True


def in_pixels(rows: npt.NDArray[T], plan: tuple[int, ...]) -> npt.NDArray[T]:
    """Bring rows (C*H*W, ...), a channel behind the other, into the order of pixels."""
    height, width, channels = plan
    maps = rows.reshape(channels, height, width, *rows.shape[1:])
    return np.moveaxis(maps, 0, 2).reshape(rows.shape)


def one_vector(state: Lowering, where: str, x: Stream) -> Stream:
    """The values of a map (1, H, W, C) as one vector (1, 1, 1, H*W*C), pixels behind one another:
    StreamFlatten. What is one already stays as it is."""
    if x.shape[1:3] == (1, 1):
        return x
    _, height, width, channels = x.shape
    (y,) = state.builder.add(
        "StreamFlatten",
        where,
        [x],
        [((1, 1, 1, height * width * channels), x.datatype)],
        {
            "NumChannels": channels,
            "PE": 1,
            "ImgDim": [height, width],
            "inputDataType": x.datatype,
        },
        scale=x.scale,
    )
    return replace(y, levels=x.levels, plan=x.plan, first=x.first)


BUILDS = (
    Construct(
        ("Flatten", "Reshape", "Squeeze", "Transpose"),
        "map to one vector, channels in front or behind",
        "any",
        ("stream_flatten",),
        "read by fully connected layers, or by elementwise nodes and a quantiser in front of one",
    ),
)
HANDLERS: dict[str, Handler] = {
    "Reshape": flatten,
    "Flatten": flatten,
    "Squeeze": flatten,
    "Transpose": transpose,
}

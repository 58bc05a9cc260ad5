# SPDX-License-Identifier: Apache-2.0
"""Maps made larger by repeating their pixels: StreamUpsample."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from ..resizing import convention, sources
from .state import Handler, Lowering, layer_of


def upsample(state: Lowering, node: onnx.NodeProto) -> bool:
    """Nearest Resize or Upsample in which every pixel becomes a rectangle of copies."""
    x = state.stream(node, levels=True)
    attributes = state.graph.attributes(node)
    mode, rounding = convention(node.op_type, state.graph.opset, attributes)
    _, channels, *size = state.graph.shape(node.input[0])
    _, found, *out = state.graph.shape(node.output[0])
    way = str(attributes.get("mode", "nearest"))
    if way != "nearest":
        raise LoweringError(
            node, f"resizes by mode {way}, expected nearest; export the network with that"
        )
    scale = [o // s for o, s in zip(out, size, strict=True)]
    plain = found == channels and not set(attributes) & {"axes", "keep_aspect_ratio_policy"}
    for s, o, factor in zip(size, out, scale, strict=True):
        copies = sources(s, o, Fraction(o, s), mode, rounding)
        plain = plain and o == factor * s and copies == [i // factor for i in range(o)]
    if not plain or not _says(state, node, scale):
        raise LoweringError(
            node,
            f"makes {out[0]}x{out[1]} pixels of {size[0]}x{size[1]} by {mode} and {rounding}, "
            "expected every pixel to be repeated equally often; use whole factors, asymmetric "
            "and floor",
        )
    state.claim(node)
    y = x if scale == [1, 1] else upsampled(state, layer_of(node), x, scale)
    state.publish(y, node.output[0])
    return True


def _says(state: Lowering, node: onnx.NodeProto, scale: list[int]) -> bool:
    """Whether the scales are these factors, if there are any: sizes are rounded down."""
    index = 2 if node.op_type == "Resize" and state.graph.opset > 10 else 1
    given = state.graph.parameter(node, index, "scales")
    return given is None or given.size == 0 or given.tolist() == [1, 1, *scale]


def upsampled(state: Lowering, where: str, x: Stream, scale: list[int], phases: int = 0) -> Stream:
    """(1, H, W, C) -> (1, H*Sy, W*Sx, C), every pixel repeated; ``phases``: every pixel holds
    values for all its places, 1: (c, dy, dx), 2: (dy, dx, c)."""
    _, h, w, c = x.shape
    places = scale[0] * scale[1] if phases else 1
    (y,) = state.builder.add(
        "StreamUpsample",
        where,
        [x],
        [((1, h * scale[0], w * scale[1], c // places), x.datatype)],
        {
            "NumChannels": c // places,
            "PE": c // places if phases == 2 else 1,
            "ImgDim": [h, w],
            "Scale": scale,
            "phases": phases,
            "inputDataType": x.datatype,
        },
        scale=x.scale,
    )
    low, high = state.reach(x)
    shape, axis = ((places, -1), 0) if phases == 2 else ((-1, places), 1)
    state.reached[y.name] = (
        low.reshape(shape).min(axis=axis),
        high.reshape(shape).max(axis=axis),
    )
    return replace(y, levels=x.levels, first=x.first)


HANDLERS: dict[str, Handler] = {"Resize": upsample, "Upsample": upsample}

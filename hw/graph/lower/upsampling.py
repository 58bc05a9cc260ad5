# SPDX-License-Identifier: Apache-2.0
"""Maps made larger by repeating their pixels: StreamUpsample."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from ..resizing import convention, sources
from .construct import Construct
from .convolution import windows
from .matrix_vector import matrix_vector
from .reflection import reflected
from .state import Handler, Lowering, layer_of

HALF_PIXEL = ("half_pixel", "pytorch_half_pixel")
"""Coordinate modes of a linear interpolation whose weights are those of a filter."""


def upsample(state: Lowering, node: onnx.NodeProto) -> bool:
    """Nearest Resize or Upsample in which every pixel becomes a rectangle of copies."""
    attributes = state.graph.attributes(node)
    way = str(attributes.get("mode", "nearest"))
    x = state.stream(node, levels=way == "nearest")
    mode, rounding = convention(node.op_type, state.graph.opset, attributes)
    _, channels, *size = state.graph.shape(node.input[0])
    _, found, *out = state.graph.shape(node.output[0])
    scale = [o // s for o, s in zip(out, size, strict=True)]
    if way == "cubic":
        raise LoweringError(
            node, "resizes by mode cubic, expected nearest or linear; export the network with that"
        )
    plain = found == channels and not set(attributes) & {"axes", "keep_aspect_ratio_policy"}
    for s, o, factor in zip(size, out, scale, strict=True):
        copies = sources(s, o, Fraction(o, s), mode, rounding)
        plain = plain and o == factor * s
        plain = plain and (way == "linear" or copies == [i // factor for i in range(o)])
    if way == "linear" and mode not in (*HALF_PIXEL, "asymmetric"):
        raise LoweringError(
            node,
            f"resizes by mode linear and {mode}, expected half_pixel (align_corners=False), "
            "asymmetric or mode nearest; export the network with that",
        )
    if not plain or not _says(state, node, scale):
        raise LoweringError(
            node,
            f"makes {out[0]}x{out[1]} pixels of {size[0]}x{size[1]} by {mode} and {rounding}, "
            "expected every pixel to be repeated equally often; use whole factors, asymmetric "
            "and floor",
        )
    state.claim(node)
    y = x if scale == [1, 1] else upsampled(state, layer_of(node), x, scale)
    if way == "linear" and scale != [1, 1]:
        y = _smoothed(state, node, y, scale, mode == "asymmetric")
    state.publish(y, node.output[0])
    return True


def _smoothed(
    state: Lowering, node: onnx.NodeProto, x: Stream, scale: list[int], asymmetric: bool
) -> Stream:
    """Repeated pixels become those of a linear interpolation by a filter along each axis: of
    1 2 .. 2 1 for an even factor, of ones for an odd one. Asymmetric ones begin at a pixel: the
    filter is of ones, and the border behind the map alone. Mirrored repetitions are the pixel at
    the border, which interpolation repeats."""
    where = layer_of(node)
    ends = [factor // 2 for factor in scale] * 2
    if asymmetric:
        ends = [0, 0, *(factor - 1 for factor in scale)]
    x = reflected(state, where, x, ends)
    taps = [
        np.array([1, *[2] * (f - 1), 1]) if f % 2 == 0 and not asymmetric else np.ones(f, np.int64)
        for f in scale
    ]
    x = windows(state, node, x, [t.size for t in taps], [1, 1], [1, 1])
    channels = np.eye(x.channels // (taps[0].size * taps[1].size))
    matrix = np.kron(np.outer(*taps).reshape(-1, 1), channels)
    step = x.scale / int(taps[0].sum() * taps[1].sum())
    return matrix_vector(state, node, where, x, matrix, step, None)


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


BUILDS = (
    Construct(
        ("Resize", "Upsample"),
        "nearest by whole factors; linear with half pixels or asymmetric as an exact filter",
        "any; integers for linear",
        ("stream_upsample", "stream_reflect_pad", "sliding_window", "int_mvu"),
        "every pixel repeated equally often; no cubic, no align_corners",
    ),
)
HANDLERS: dict[str, Handler] = {"Resize": upsample, "Upsample": upsample}

# SPDX-License-Identifier: Apache-2.0
"""Reflected borders: StreamReflectPad."""

from __future__ import annotations

import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .construct import Construct
from .padding import border_of
from .state import Handler, Lowering, layer_of


def reflect(state: Lowering, node: onnx.NodeProto) -> bool:
    """A border that mirrors what lies inside of it."""
    if state.graph.attributes(node).get("mode", "constant") != "reflect":
        return False
    x = state.stream(node)
    top, left, bottom, right = border = border_of(state, node)
    _, h, w, _ = x.shape
    if max(top, bottom) >= h or max(left, right) >= w:
        raise LoweringError(
            node,
            f"reflects {border} rows and columns of a map of {h}x{w}, expected fewer than it "
            "has; use a larger picture",
        )
    state.claim(node)
    state.publish(reflected(state, layer_of(node), x, border), node.output[0])
    return True


def reflected(state: Lowering, where: str, x: Stream, border: list[int]) -> Stream:
    """Put [top, left, bottom, right] mirrored rows and columns around a map."""
    top, left, bottom, right = border
    _, h, w, c = x.shape
    (y,) = state.builder.add(
        "StreamReflectPad",
        where,
        [x],
        [((1, h + top + bottom, w + left + right, c), x.datatype)],
        {
            "NumChannels": c,
            "SIMD": 1,
            "ImgDim": [h, w],
            "Padding": border,
            "inputDataType": x.datatype,
        },
        scale=x.scale,
    )
    return y


BUILDS = (
    Construct(
        ("Pad",), "mirrored border", "any", ("stream_reflect_pad",), "mode reflect, image axes"
    ),
)
HANDLERS: dict[str, Handler] = {"Pad": reflect}

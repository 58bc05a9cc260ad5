# SPDX-License-Identifier: Apache-2.0
"""Maxima over windows: StreamMaxPool."""

from __future__ import annotations

from dataclasses import replace

import onnx

from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of


def max_pool(state: Lowering, node: onnx.NodeProto) -> bool:
    x = state.stream(node)
    attributes = state.graph.attributes(node)
    if len(state.graph.shape(node.input[0])) != 4:
        raise LoweringError(node, "pools no map, expected one (1, C, H, W)")
    kernel = list(attributes["kernel_shape"])
    stride = list(attributes.get("strides", [1, 1]))
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    plain = attributes.get("auto_pad", "NOTSET") == "NOTSET"
    if not plain or len(node.output) > 1 or list(attributes.get("dilations", [1, 1])) != [1, 1]:
        raise LoweringError(node, "found auto_pad, dilation or indices, expected a plain max pool")
    _, h, w, c = x.shape
    out, ends = [], []
    for axis, size in enumerate((h, w)):
        k, s, begin, end = kernel[axis], stride[axis], pads[axis], pads[axis + 2]
        room = size + begin + end - k
        n = room // s + 1
        # In ceil mode one more window starts, if it starts inside the map or its first border.
        if attributes.get("ceil_mode", 0) and room % s and n * s < size + begin:
            n += 1
        out.append(n)
        ends.append(max(0, (n - 1) * s + k - size - begin))
        if room < 0 or max(begin, ends[axis]) >= k:
            raise LoweringError(
                node,
                f"found a kernel {kernel} on a map {h}x{w} with the border {pads}, expected one "
                "that fits, and a border narrower than it",
            )
    (y,) = state.builder.add(
        "StreamMaxPool",
        layer_of(node),
        [x],
        [((1, *out, c), x.datatype)],
        {
            "NumChannels": c,
            "PE": 1,
            "ImgDim": [h, w],
            "KernelDim": kernel,
            "Stride": stride,
            "Padding": [pads[0], pads[1], *ends],
            "OutDim": out,
            "inputDataType": x.datatype,
        },
        scale=x.scale,
    )
    state.claim(node)
    state.publish(replace(y, first=x.first), node.output[0])
    return True


BUILDS = (
    Construct(
        ("MaxPool",),
        "max pool of any window, stride and border, ceil_mode among them; `GlobalMaxPool` and "
        "`ReduceMax` of a map",
        "any",
        ("stream_max_pool",),
        "no dilation",
    ),
)
HANDLERS: dict[str, Handler] = {"MaxPool": max_pool}

# SPDX-License-Identifier: Apache-2.0
"""Channels of a pixel that become the pixels of a square: PixelInterleave, StreamUpsample."""

from __future__ import annotations

import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of
from .upsampling import upsampled

ORDERS = {"DCR": [0, 3, 4, 1, 5, 2], "CRD": [0, 1, 4, 2, 5, 3]}
"""Axes of a pixel shuffle: places in front of channels, (dy, dx, c), or behind, (c, dy, dx)."""


def depth_to_space(state: Lowering, node: onnx.NodeProto) -> bool:
    """DepthToSpace, in either order."""
    x = state.stream(node)
    attributes = state.graph.attributes(node)
    y = squares(state, node, x, int(attributes["blocksize"]), str(attributes.get("mode", "DCR")))
    state.claim(node)
    state.publish(y, node.output[0])
    return True


def interleave(state: Lowering, node: onnx.NodeProto) -> bool:
    """The pixels (dy, dx, c) or (c, dy, dx) of each pixel beside each other.

    That is Reshape(n,s,s,c,h,w) -> Transpose(0,3,4,1,5,2) -> Reshape(n,c,s*h,s*w), or
    Reshape(n,c,s,s,h,w) -> Transpose(0,1,4,2,5,3) -> the same.
    """
    shape = state.graph.shape(node.output[0])
    if len(shape) != 6:
        return False
    x = state.stream(node)
    _, h, w, c = x.shape
    side = shape[2]
    forms = {
        "DCR": (1, side, side, c // side**2, h, w),
        "CRD": (1, c // side**2, side, side, h, w),
    }
    if c % side**2 or shape not in forms.values():
        return False
    readers = state.graph.consumers[node.output[0]]
    order = state.graph.attributes(readers[0]).get("perm") if readers else None
    modes = [m for m, form in forms.items() if form == shape and ORDERS[m] == order]
    if len(readers) != 1 or readers[0].op_type != "Transpose" or not modes:
        raise LoweringError(
            node,
            f"is followed by {[n.op_type for n in readers]} to {order}, expected a Transpose to "
            f"{' or '.join(map(str, ORDERS.values()))}",
        )
    chain = [node, *readers]
    behind = state.graph.consumers[readers[0].output[0]]
    found = [(n.op_type, state.graph.shape(n.output[0])) for n in behind]
    wanted = ("Reshape", (1, c // side**2, side * h, side * w))
    if found != [wanted]:
        raise LoweringError(readers[0], f"is followed by {found}, expected {wanted}")
    y = squares(state, node, x, side, modes[0])
    state.claim(*chain, *behind)
    state.publish(y, behind[0].output[0])
    return True


def squares(state: Lowering, node: onnx.NodeProto, x: Stream, side: int, mode: str) -> Stream:
    """(1, H, W, side*side*C) -> (1, side*H, side*W, C)."""
    if side == 1:
        return x
    if mode == "CRD" or side > 2:
        return upsampled(state, layer_of(node), x, [side, side], 1 if mode == "CRD" else 2)
    return interleaved(state, layer_of(node), x)


def interleaved(state: Lowering, where: str, x: Stream) -> Stream:
    """(1, H, W, 4C), four pixels (dy, dx, c) in each -> (1, 2H, 2W, C)."""
    _, h, w, c = x.shape
    (y,) = state.builder.add(
        "PixelInterleave",
        where,
        [x],
        [((1, 2 * h, 2 * w, c // 4), x.datatype)],
        {"NumChannels": c // 4, "PE": 1, "ImgDim": [h, w], "inputDataType": x.datatype},
        scale=x.scale,
    )
    low, high = state.reach(x)
    state.reached[y.name] = (low.reshape(4, -1).min(axis=0), high.reshape(4, -1).max(axis=0))
    return y


BUILDS = (
    Construct(
        ("DepthToSpace", "Reshape"),
        "channels become pixels beside each other, in the order of DCR or CRD",
        "any",
        ("pixel_interleave", "stream_upsample"),
        "DepthToSpace, or Reshape, Transpose, Reshape",
    ),
)
HANDLERS: dict[str, Handler] = {"DepthToSpace": depth_to_space, "Reshape": interleave}

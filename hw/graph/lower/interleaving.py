# SPDX-License-Identifier: Apache-2.0
"""Four pixels in the channels of one, moved beside each other: PixelInterleave."""

from __future__ import annotations

import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of


def interleave(state: Lowering, node: onnx.NodeProto) -> bool:
    """The four pixels (dy, dx, c) of each pixel beside each other.

    That is Reshape(n,2,2,c,h,w) -> Transpose(0,3,4,1,5,2) -> Reshape(n,c,2h,2w).
    """
    shape = state.graph.shape(node.output[0])
    if len(shape) != 6:
        return False
    x = state.stream(node)
    _, h, w, c = x.shape
    if shape != (1, 2, 2, c // 4, h, w):
        return False
    chain = [node]
    for op, shape in (
        ("Transpose", (1, c // 4, h, 2, w, 2)),
        ("Reshape", (1, c // 4, 2 * h, 2 * w)),
    ):
        readers = state.graph.consumers[chain[-1].output[0]]
        found = [(n.op_type, state.graph.shape(n.output[0])) for n in readers]
        if found != [(op, shape)]:
            raise LoweringError(node, f"is followed by {found}, expected {op} to {shape}")
        chain += readers
    if state.graph.attributes(chain[1])["perm"] != [0, 3, 4, 1, 5, 2]:
        raise LoweringError(chain[1], "found another order, expected perm 0,3,4,1,5,2")
    state.claim(*chain)
    state.publish(interleaved(state, layer_of(node), x), chain[-1].output[0])
    return True


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
        ("Reshape",),
        "four pixels in the channels of one, beside each other",
        "any",
        ("pixel_interleave",),
        "Reshape, Transpose, Reshape",
    ),
)
HANDLERS: dict[str, Handler] = {"Reshape": interleave}

# SPDX-License-Identifier: Apache-2.0
"""Constant borders: FMPadding, whose border is code 0."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Bordered, Handler, Lowering, layer_of


def pad(state: Lowering, node: onnx.NodeProto) -> bool:
    """Border of -1 around a 1-bit tensor, of 0 around any other: code 0. Another number, or around
    codes of which none stands for 0, is left to the convolutions that read it."""
    line = state.line(node.input[0])
    x = line or state.stream(node)
    attributes = state.graph.attributes(node)
    given = state.graph.parameter(node, 2, "value")
    computed = given is None and len(node.input) > 2 and node.input[2]
    if computed or (given is not None and given.size != 1):
        raise LoweringError(node, f"pads with {node.input[2:3]}, expected a constant number")
    value = 0.0 if given is None else float(given.reshape(()))
    wanted = -float(x.scale) if x.datatype == "BINARY" else 0.0
    constant = attributes.get("mode", "constant") == "constant" and math.isfinite(value)
    odd = x.datatype != "BINARY" and (value != wanted or line is not None)
    if constant and odd and _convolved(state, node):
        state.bordered[node.output[0]] = Bordered(
            line or with_zeros(x), tuple(border_of(state, node)), Fraction(value)
        )
        state.claim(node)
        return True
    x = state.stream(node)
    if not constant or value != wanted:
        raise LoweringError(
            node,
            f"pads {x.datatype} with {value} ({attributes.get('mode', 'constant')}), "
            f"expected the constant {wanted}: the only border whose code is 0",
        )
    border = border_of(state, node)
    state.claim(node)
    state.publish(padded(state, layer_of(node), x, border), node.output[0])
    return True


def _convolved(state: Lowering, node: onnx.NodeProto) -> bool:
    """Whether only convolutions read the border."""
    readers = state.graph.consumers[node.output[0]]
    reads = all(r.op_type == "Conv" and r.input[0] == node.output[0] for r in readers)
    return bool(readers) and reads and not state.graph.is_output(node.output[0])


def with_zeros(x: Stream) -> Stream:
    """The same with what its codes say written out."""
    zeros, factors = (Fraction(-x.first),) * x.channels, (1,) * x.channels
    return replace(x, first=0, zeros=zeros, factors=factors)


def border_of(state: Lowering, node: onnx.NodeProto) -> list[int]:
    """Return [top, left, bottom, right] of a Pad."""
    pads = state.graph.parameter(node, 1, "pads")
    if len(node.input) > 3 and node.input[3]:
        raise LoweringError(node, "names the axes it pads, expected pads of all axes")
    if pads is None or pads.size != 8 or pads[[0, 1, 4, 5]].any() or pads.min() < 0:
        raise LoweringError(node, "expected constant pads of the two image axes, 0 or more")
    return [int(pads[i]) for i in (2, 3, 6, 7)]


def padded(state: Lowering, where: str, x: Stream, pads: list[int]) -> Stream:
    """Put [top, left, bottom, right] rows and columns of code 0 around a map."""
    top, left, bottom, right = pads
    _, h, w, c = x.shape
    (y,) = state.builder.add(
        "FMPadding",
        where,
        [x],
        [((1, h + top + bottom, w + left + right, c), x.datatype)],
        {
            "ImgDim": [h, w],
            "Padding": pads,
            "NumChannels": c,
            "SIMD": 1,
            "inputDataType": x.datatype,
            "numInputVectors": 1,
        },
        scale=x.scale,
    )
    return replace(y, levels=x.levels)


BUILDS = (
    Construct(
        ("Pad",),
        "border of 0, or of -1 around signs",
        "any",
        ("fm_padding",),
        "image axes; a border of -1 around signs that only weights of one bit read",
    ),
    Construct(
        ("Pad",),
        "border of another number, or around codes of which none stands for 0",
        "codes of 2 to 9 bits",
        ("fm_padding", "border_bias"),
        "image axes; convolutions alone read it",
    ),
)
HANDLERS: dict[str, Handler] = {"Pad": pad}

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
from .counting import border_value
from .state import Bordered, Handler, Lowering, layer_of


def pad(state: Lowering, node: onnx.NodeProto) -> bool:
    """Border of -1 around a 1-bit tensor, of 0 around any other: code 0. Another number, or around
    codes of which none stands for 0, is left to the convolutions that read it."""
    line = state.line(node.input[0])
    x = line or state.stream(node)
    attributes = state.graph.attributes(node)
    constant = attributes.get("mode", "constant") == "constant"
    value = border_value(state, node)
    if constant and value is None:
        raise LoweringError(node, f"pads with {node.input[2:3]}, expected a constant number")
    # Codes that count from the border's number have no other border.
    counted = 0 if line else x.first
    wanted = float(x.scale * (-1 if x.datatype == "BINARY" else counted))
    odd = x.datatype != "BINARY" and not counted and (value != wanted or line is not None)
    if value is not None and math.isfinite(value) and odd and _convolved(state, node):
        state.bordered[node.output[0]] = Bordered(
            line or with_zeros(x), tuple(border_of(state, node)), Fraction(value)
        )
        state.claim(node)
        return True
    x = state.stream(node)
    if not constant or value != wanted:
        raise LoweringError(
            node,
            f"pads {x.datatype} with {value} ({attributes.get('mode', 'constant')}), expected the "
            f"constant {wanted}, whose code is 0, or a code of a quantiser that nothing but "
            "products behind such a border reads",
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
    return replace(y, levels=x.levels, first=x.first)


BUILDS = (
    Construct(
        ("Pad",),
        "border of 0, or of a code of the quantiser in front, such as -1 around signs",
        "any",
        ("fm_padding",),
        "image axes; another border than 0 only where nothing but products behind it read the "
        "quantiser",
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

# SPDX-License-Identifier: Apache-2.0
"""Transposed convolutions: an ordinary one that makes all places of a stride at once.

An output pixel Sy*i + dy, Sx*j + dx (a phase dy, dx) adds products of a few input pixels near i, j.
One window holds those of all phases, so one product gives Sy*Sx pixels side by side, which then
move to their places. The other way puts zeros between the pixels in front of a convolution with
the kernel turned round. It stores K*K weights per pair of channels and multiplies S*S*K*K times per
input pixel; phases store and multiply S*S*E*E times, E windows of at most K. For 3x3 by stride 2
these are 9 and 36 against 16 and 16: multiplications decide the size, so phases are taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from ....quant.grid import IntArray
from ..builder import Stream
from ..qonnx_graph import FloatArray, LoweringError
from .construct import Construct
from .convolution import windows
from .cropping import cropped
from .interleaving import interleaved
from .padding import padded
from .product import Spread, accumulate
from .state import Handler, Lowering, layer_of
from .upsampling import upsampled
from .weights import weights_of

MAX_ELEMENTS = 1 << 24
"""Most weights of all phases."""


class Axis:
    """What the phases of one axis read.

    Attributes:
        stride: phases.
        border: zeros at its begin and end.
        window: pixels that the phases of one read together.
        spare: outputs at the end that are too many.
    """

    def __init__(
        self, size: int, out: int, kernel: int, stride: int, begin: int, dilation: int
    ) -> None:
        # Of a single pixel nothing lies a stride apart.
        self.stride = stride = stride if size > 1 else 1
        # Phase d of pixel q takes input q + e by the weight at d + begin - e * stride.
        reach = (kernel - 1) * dilation
        first = min(0, -((reach - begin) // stride))
        last = max(first, (stride - 1 + begin) // stride)
        pixels = -(-out // stride)
        self.border = (-first, max(0, pixels + last - size))
        self.window = last - first + 1
        self.offsets = np.arange(first, last + 1)
        self.begin, self.dilation, self.reach = begin, dilation, reach
        made = size + sum(self.border) - self.window + 1
        self.spare = made * stride - out

    def taps(self) -> IntArray:
        """(phases, window): place in the kernel of each place of a window, -1 for none."""
        at = np.arange(self.stride)[:, None] + self.begin - self.offsets[None] * self.stride
        found = (at >= 0) & (at <= self.reach) & (at % self.dilation == 0)
        return np.where(found, at // self.dilation, -1)


def convolve_transposed(state: Lowering, node: onnx.NodeProto) -> bool:
    """Transposed convolution: [padding] -> [sliding window] -> product -> places."""
    x = state.stream(node)
    weight, scale = weights_of(state, node)
    attributes = state.graph.attributes(node)
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in attributes:
        raise LoweringError(
            node,
            f"found auto_pad {attributes.get('auto_pad', 'NOTSET')} and output_shape "
            f"{attributes.get('output_shape')}, expected pads and output_padding; export with "
            "these",
        )
    group = attributes.get("group", 1)
    weight = _dense(weight, group)
    scale = np.tile(scale, group) if scale.size > 1 else scale
    rows, columns = axes = _axes(state, node, x, weight, attributes)
    where, outputs = layer_of(node), weight.shape[1]
    places = rows.stride * columns.stride
    elements = weight.shape[0] * outputs * places * rows.window * columns.window
    if elements > MAX_ELEMENTS:
        raise LoweringError(
            node,
            f"its {places} phases take {elements} weights, expected at most {MAX_ELEMENTS}; use a "
            "smaller stride, kernel or fewer channels",
        )
    border = [rows.border[0], columns.border[0], rows.border[1], columns.border[1]]
    if any(border):
        if x.datatype == "BINARY":
            raise LoweringError(node, "puts 0 around a +-1 tensor: 1-bit tensors have no 0")
        x = padded(state, where, x, border)
    kernel = [rows.window, columns.window]
    if kernel != [1, 1]:
        x = windows(state, node, x, kernel, [1, 1], [1, 1])
    # (inputs, outputs, dy, ey, dx, ex)
    found = _taken(_taken(weight, 2, rows.taps()), 4, columns.taps())
    strides = [axis.stride for axis in axes]
    if strides == [2, 2]:
        matrix = found.transpose(3, 5, 0, 2, 4, 1).reshape(-1, 4 * outputs)
        of = np.tile(np.arange(outputs), 4)
    else:
        matrix = found.transpose(3, 5, 0, 1, 2, 4).reshape(-1, outputs * places)
        of = np.repeat(np.arange(outputs), places)

    def move(acc: Stream) -> Stream:
        # The accumulators are moved, not their codes: thresholds in front would be stored for
        # every phase, and this way every tensor of the network is one of the graph.
        if strides == [2, 2]:
            acc = interleaved(state, where, acc)
        elif places > 1:
            acc = upsampled(state, where, acc, strides, phases=1)
        spare = [axis.spare for axis in axes]
        return cropped(state, where, acc, [0, 0, *spare]) if any(spare) else acc

    accumulate(state, node, x, matrix, scale, spread=Spread(of, move))
    return True


def _axes(
    state: Lowering, node: onnx.NodeProto, x: Stream, weight: FloatArray, given: dict[str, Any]
) -> tuple[Axis, Axis]:
    """What each axis reads; the sizes of the result are ONNX's."""
    out = state.graph.shape(node.output[0])[2:]
    kernel = list(weight.shape[2:])
    if list(given.get("kernel_shape", kernel)) != kernel:
        raise LoweringError(
            node, f"found kernel_shape {given['kernel_shape']} and a kernel of {kernel}"
        )
    strides, dilations = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
    pads, more = given.get("pads", [0] * 4), given.get("output_padding", [0, 0])
    made = tuple(
        strides[i] * (x.shape[1 + i] - 1) + (kernel[i] - 1) * dilations[i] + 1 + more[i]
        - pads[i] - pads[2 + i]
        for i in range(2)
    )  # fmt: skip
    if out != made:
        raise LoweringError(
            node,
            f"gives {out} pixels, expected {made} as its strides, pads and output_padding are read",
        )
    rows, columns = (
        Axis(x.shape[1 + i], out[i], kernel[i], strides[i], pads[i], dilations[i]) for i in range(2)
    )
    return rows, columns


def _dense(weight: FloatArray, group: int) -> FloatArray:
    """Weights (inputs, outputs of a group, ..) of groups as those of all pairs of channels."""
    inputs, outputs = weight.shape[:2]
    dense = np.zeros((inputs, group * outputs, *weight.shape[2:]))
    for g in range(group):
        part = slice(g * inputs // group, (g + 1) * inputs // group)
        dense[part, g * outputs : (g + 1) * outputs] = weight[part]
    return dense


def _taken(weight: FloatArray, axis: int, taps: IntArray) -> FloatArray:
    """Put (phases, window) in the place of a kernel's axis, 0 where a window has no weight."""
    none = np.zeros_like(weight.take([0], axis))
    padded_kernel = np.concatenate([weight, none], axis)
    return padded_kernel.take(np.where(taps < 0, weight.shape[axis], taps), axis)


BUILDS = (
    Construct(
        ("ConvTranspose",),
        "transposed convolution of any kernel, stride, dilation, border and output_padding, in "
        "groups as well",
        "codes of 1 to 9 bits, weights of 1 to 8",
        ("fm_padding", "sliding_window", "int_mvu", "pixel_interleave", "stream_upsample"),
        "one product of all phases: the weights of all at most 2^24",
    ),
)
HANDLERS: dict[str, Handler] = {"ConvTranspose": convolve_transposed}

# SPDX-License-Identifier: Apache-2.0
"""Convolutions: sliding windows, then a product."""

from __future__ import annotations

from dataclasses import replace

import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .cropping import cropped
from .padding import padded
from .product import accumulate
from .state import Handler, Lowering, layer_of
from .weights import weights_of


def convolve(state: Lowering, node: onnx.NodeProto) -> bool:
    """Convolution: [padding] -> [sliding window] -> matrix-vector unit."""
    x = state.stream(node, levels=True)
    weight, scale = weights_of(state, node)
    attributes = state.graph.attributes(node)
    if weight.ndim != 4 or list(attributes.get("kernel_shape", weight.shape[2:])) != list(
        weight.shape[2:]
    ):
        raise LoweringError(
            node,
            f"found kernel_shape {attributes.get('kernel_shape')} and weights of shape "
            f"{weight.shape}, expected (outputs, inputs, *kernel_shape)",
        )
    if attributes.get("group", 1) != 1 or attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise LoweringError(
            node,
            f"found group {attributes.get('group', 1)}, auto_pad "
            f"{attributes.get('auto_pad', 'NOTSET')}, expected a dense convolution with "
            "explicit pads",
        )
    kernel = list(weight.shape[2:])
    stride = list(attributes.get("strides", [1, 1]))
    dilation = list(attributes.get("dilations", [1, 1]))
    pads = [int(p) for p in attributes.get("pads", [0, 0, 0, 0])]
    where = layer_of(node)
    if any(pads):
        if x.datatype == "BINARY":
            raise LoweringError(
                node,
                f"pads {pads} put 0 around a +-1 tensor, expected a Pad(-1) node in "
                "front: 1-bit tensors have no 0",
            )
        x = padded(state, where, x, pads)
    if kernel != [1, 1] or stride != [1, 1]:
        x = windows(state, node, x, kernel, stride, dilation)
    matrix = weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])
    accumulate(state, node, x, matrix, scale)
    return True


def windows(
    state: Lowering,
    node: onnx.NodeProto,
    x: Stream,
    kernel: list[int],
    stride: list[int],
    dilation: list[int],
) -> Stream:
    """The pixels of every place of a kernel, side by side: a sliding window."""
    _, h, w, c = x.shape
    out, spare, steps = [], [], []
    for size, k, s, d in zip((h, w), kernel, stride, dilation, strict=True):
        extent = (k - 1) * d + 1
        if extent > size:
            raise LoweringError(
                node,
                f"kernel {kernel} does not fit the padded map {h}x{w}; use a larger picture",
            )
        out.append((size - extent) // s + 1)
        # FINN's generator loses count on an axis of one window with room for another behind
        # it, and takes no stride beyond the map: one window needs neither.
        alone = out[-1] == 1 and (size - extent >= extent or s > size)
        spare.append(size - extent if alone else 0)
        steps.append(1 if alone else s)
    if any(spare):
        x = cropped(state, layer_of(node), x, [0, 0, *spare])
        h, w = x.shape[1:3]
    (y,) = state.builder.add(
        "ConvolutionInputGenerator",
        layer_of(node),
        [x],
        [((1, *out, kernel[0] * kernel[1] * c), x.datatype)],
        {
            "ConvKernelDim": kernel,
            "Stride": steps,
            "Dilation": dilation,
            "IFMChannels": c,
            "IFMDim": [h, w],
            "OFMDim": out,
            "SIMD": 1,
            "parallel_window": 0,
            "depthwise": 0,
            "inputDataType": x.datatype,
            "outputDataType": x.datatype,
        },
        scale=x.scale,
    )
    return replace(y, levels=x.levels, first=x.first)


HANDLERS: dict[str, Handler] = {"Conv": convolve}

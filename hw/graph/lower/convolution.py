# SPDX-License-Identifier: Apache-2.0
"""Convolutions: sliding windows, then a product."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .construct import Construct
from .cropping import cropped
from .grouped import MOST_DENSE, dense, each_alone, grouped, in_one_unit
from .matrix_vector import Product, matrix_vector
from .padding import padded
from .product import accumulate
from .shifted import Windows, accumulate_shifted, axis_of
from .state import Handler, Lowering, layer_of
from .weights import weights_of


def convolve(state: Lowering, node: onnx.NodeProto) -> bool:
    """Convolution: [padding] -> [sliding window] -> matrix-vector unit."""
    x, outer, value = _read(state, node)
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
    groups, (outputs, inputs) = int(attributes.get("group", 1)), weight.shape[:2]
    if attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise LoweringError(
            node, f"found auto_pad {attributes['auto_pad']}, expected explicit pads"
        )
    if outputs % groups or inputs * groups != x.channels:
        raise LoweringError(
            node,
            f"found group {groups} and weights of shape {weight.shape}, expected "
            f"{x.channels} channels and the outputs to be divided by it",
        )
    kernel = list(weight.shape[2:])
    stride = list(attributes.get("strides", [1, 1]))
    dilation = list(attributes.get("dilations", [1, 1]))
    pads = [int(p) for p in attributes.get("pads", [0, 0, 0, 0])]
    if value and any(pads):
        raise LoweringError(
            node,
            f"found a border of 0 around one of {float(value)}, expected one of both; use one Pad",
        )
    pads = [inner + more for inner, more in zip(outer, pads, strict=True)]
    where, shifted = layer_of(node), x
    _, height, width, _ = x.shape
    x = replace(x, zeros=(), factors=())
    if any(pads):
        x = padded(state, where, x, pads)  # Signs with a border of 0 are numbers.
    pointwise = kernel == [1, 1] and stride == [1, 1]

    def of_map(part: Stream) -> Stream:
        return part if pointwise else windows(state, node, part, kernel, stride, dilation)

    alone = groups > 1 and not x.levels and not in_one_unit(groups, inputs, outputs // groups)
    read = x if alone else of_map(x)  # Groups that stand alone have windows of their own.
    matrix = weight.transpose(2, 3, 1, 0).reshape(-1, outputs)
    multiply: Product = matrix_vector
    taps = kernel[0] * kernel[1]
    if groups > 1 and x.levels:
        if matrix.size * groups > MOST_DENSE:
            raise LoweringError(
                node,
                f"found {groups} groups on level codes, {matrix.size * groups} weights of a dense "
                f"product, expected at most {MOST_DENSE}; use an unsigned quantiser of few bits",
            )
        matrix = dense(matrix, groups, taps)
    elif groups > 1:
        multiply = each_alone(groups, of_map) if alone else grouped(groups, taps)
    if shifted.zeros:
        sides = zip((height, width), kernel, stride, dilation, pads[:2], pads[2:], strict=True)
        rows, columns = (axis_of(*side) for side in sides)
        places = Windows(rows, columns, groups, value / shifted.scale)
        accumulate_shifted(state, node, read, shifted, matrix, scale, places, multiply)
    else:
        accumulate(state, node, read, matrix, scale, multiply)
    return True


def _read(state: Lowering, node: onnx.NodeProto) -> tuple[Stream, list[int], Fraction]:
    """The map that a convolution reads, and a border around it."""
    found = state.bordered.get(node.input[0])
    if found is not None:
        return found.inner, list(found.pads), found.value
    return state.stream(node, levels=True, shifted=True), [0] * 4, Fraction(0)


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


BUILDS = (
    Construct(
        ("Conv",),
        "convolution with any kernel, stride, dilation and border; of lines as well",
        "codes of 1 to 9 bits, less a mean and over a std too, weights of 1 to 8; level codes",
        (
            "fm_padding",
            "sliding_window",
            "xnor_mvu",
            "binary_mvu",
            "int_mvu",
            "pa_mvu",
            "border_bias",
        ),
        "the kernel fits the padded map; accumulators of at most 31 bits",
    ),
    Construct(
        ("Conv",),
        "convolution in groups, depthwise with any number of outputs a channel",
        "as above",
        ("grouped_mvu", "streaming_split", "streaming_concat"),
        "`grouped_mvu` for small groups, else a unit for each group",
    ),
)
HANDLERS: dict[str, Handler] = {"Conv": convolve}

# SPDX-License-Identifier: Apache-2.0
"""Sums and averages over a map or over windows of it: GlobalAccPool, StreamSumPool.

An average is the sum, of a step that is divided: the quantiser behind it takes that in.
"""

from __future__ import annotations

import math
from dataclasses import replace

import onnx

from ....quant.grid import (
    ACCUMULATOR_BITS,
    SUM_LIMIT,
    smallest_signed,
    smallest_unsigned,
    sums_type,
)
from ..builder import Stream
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of, limits


def global_sum(state: Lowering, node: onnx.NodeProto) -> bool:
    x = state.stream(node)
    if not _of_image_axes(state, node):
        raise LoweringError(node, "sums over other axes, expected the constant axes 2 and 3")
    state.claim(node)
    state.publish(_sum_of_map(state, node, x), node.output[0])
    return True


def global_average(state: Lowering, node: onnx.NodeProto) -> bool:
    x = state.stream(node)
    if node.op_type == "ReduceMean" and not _of_image_axes(state, node):
        raise LoweringError(node, "averages over other axes, expected the constant axes 2 and 3")
    _average(state, node, _sum_of_map(state, node, x), math.prod(x.shape[1:3]))
    return True


def average_pool(state: Lowering, node: onnx.NodeProto) -> bool:
    x = state.stream(node)
    attributes = state.graph.attributes(node)
    if len(state.graph.shape(node.input[0])) != 4:
        raise LoweringError(node, "pools no map, expected one (1, C, H, W)")
    kernel = list(attributes["kernel_shape"])
    stride = list(attributes.get("strides", [1, 1]))
    top, left, bottom, right = pads = list(attributes.get("pads", [0, 0, 0, 0]))
    plain = attributes.get("auto_pad", "NOTSET") == "NOTSET"
    if not plain or list(attributes.get("dilations", [1, 1])) != [1, 1]:
        raise LoweringError(node, "found auto_pad or dilation, expected a plain average pool")
    _, h, w, c = x.shape
    room = [h + top + bottom - kernel[0], w + left + right - kernel[1]]
    if min(room) < 0:
        raise LoweringError(
            node, f"found a kernel {kernel} on a map {h}x{w} with the border {pads}, expected one "
            "that fits"
        )  # fmt: skip
    if attributes.get("ceil_mode", 0) and any(r % s for r, s in zip(room, stride, strict=True)):
        raise LoweringError(
            node,
            "its ceil_mode adds windows beyond the map, which are divided by fewer pixels, "
            "expected one divisor for all: ceil_mode 0, or a map that the strides divide",
        )
    out = [r // s + 1 for r, s in zip(room, stride, strict=True)]
    # The border that the last windows see; a wider one counts for nothing.
    for axis, (begin, size) in enumerate(((top, h), (left, w))):
        pads[2 + axis] = max(0, (out[axis] - 1) * stride[axis] + kernel[axis] - size - begin)
    if any(p >= k for p, k in zip(pads, 2 * kernel, strict=True)):
        raise LoweringError(
            node, f"found the border {pads} for a kernel {kernel}, expected a narrower one"
        )
    if any(pads) and not attributes.get("count_include_pad", 0):
        raise LoweringError(
            node,
            f"found pads {pads} and count_include_pad 0, so that windows at the border are divided "
            "by fewer pixels, expected one divisor for all: count_include_pad 1, or no border",
        )
    taps = math.prod(kernel)
    if kernel == [h, w] and not any(pads):
        _average(state, node, _sum_of_map(state, node, x), taps)
        return True
    _check_limit(node, x, taps)
    (y,) = state.builder.add(
        "StreamSumPool",
        layer_of(node),
        [x],
        [((1, *out, c), sums_type(x.datatype, taps))],
        {
            "NumChannels": c,
            "PE": 1,
            "ImgDim": [h, w],
            "KernelDim": kernel,
            "Stride": stride,
            "Padding": pads,
            "OutDim": out,
            "inputDataType": x.datatype,
        },
        scale=x.scale,
    )
    _average(state, node, y, taps)
    return True


def _average(state: Lowering, node: onnx.NodeProto, sums: Stream, count: int) -> None:
    """Publish sums as averages, and what factors behind them make of these."""
    state.claim(node)
    name = node.output[0]
    state.publish(replace(sums, scale=sums.scale / count), name)
    # A factor is exact in the step: times 9 behind a ninth is the sum again.
    while len(readers := state.graph.consumers[name]) == 1:
        name = readers[0].output[0]
        state.scaled(name)
        if name not in state.streams:
            break


def _of_image_axes(state: Lowering, node: onnx.NodeProto) -> bool:
    axes = state.graph.parameter(node, 1, "axes")
    return axes is not None and sorted(int(a) % 4 for a in axes.reshape(-1)) == [2, 3]


def _check_limit(node: onnx.NodeProto, x: Stream, count: int) -> None:
    most = count * max(abs(end) for end in limits(x.datatype))
    if most >= SUM_LIMIT:
        raise LoweringError(
            node,
            f"sums {count} codes of {x.datatype}, up to {most}, expected less than "
            f"{SUM_LIMIT} ({ACCUMULATOR_BITS} bits); pool in two steps with a quantiser "
            "between, or use fewer bits",
        )


def _sum_of_map(state: Lowering, node: onnx.NodeProto, x: Stream) -> Stream:
    _, h, w, c = x.shape
    _check_limit(node, x, h * w)
    low, high = limits(x.datatype)
    # FINN's op sums unsigned codes to an unsigned number.
    least, most = low * h * w, high * h * w
    datatype = smallest_signed(least, most) if low < 0 else smallest_unsigned(most)
    (y,) = state.builder.add(
        "GlobalAccPool",
        layer_of(node),
        [x],
        [((1, 1, 1, c), datatype)],
        {
            "NumChannels": c,
            "PE": 1,
            "inputDataType": x.datatype,
            "numInputVectors": x.vectors,
        },
        scale=x.scale,
    )
    return y


BUILDS = (
    Construct(
        ("AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"),
        "sum or average over a map or over windows of it",
        "integers",
        ("global_acc_pool", "stream_sum_pool"),
        "one divisor for all windows, no dilation, sums below 2^30",
    ),
)
HANDLERS: dict[str, Handler] = {
    "ReduceSum": global_sum,
    "ReduceMean": global_average,
    "GlobalAveragePool": global_average,
    "AveragePool": average_pool,
}

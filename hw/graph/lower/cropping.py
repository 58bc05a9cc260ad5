# SPDX-License-Identifier: Apache-2.0
"""Rows and columns taken off a map: StreamCrop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from ..builder import Stream
from ..qonnx_graph import LoweringError
from .construct import Construct
from .state import Handler, Lowering, layer_of


def crop(state: Lowering, node: onnx.NodeProto) -> bool:
    """Slices of the two image axes, one behind the other: one crop."""
    x = state.stream(node)
    _, h, w, _ = x.shape
    kept = {2: (0, h), 3: (0, w)}
    last = node
    while True:
        _narrow(state, last, kept)
        state.claim(last)
        readers = state.graph.consumers[last.output[0]]
        if len(readers) != 1 or readers[0].op_type != "Slice":
            break
        (last,) = readers
    (top, bottom), (left, right) = kept[2], kept[3]
    y = cropped(state, layer_of(node), x, [top, left, h - bottom, w - right])
    state.publish(y, last.output[0])
    return True


def _narrow(state: Lowering, node: onnx.NodeProto, kept: dict[int, tuple[int, int]]) -> None:
    """Apply a Slice to the rows (axis 2) and columns (axis 3) kept so far, [begin, end)."""
    found = [
        _whole_numbers(state, node, i, name)
        for i, name in enumerate(("starts", "ends", "axes"), start=1)
    ]
    if found[2] is None:
        found[2] = list(range(len(found[0] or [])))
    if None in found or any(n and n not in state.graph.constants for n in node.input[1:]):
        raise LoweringError(node, "expected constant starts, ends and axes")
    starts, ends, axes = (row or [] for row in found)
    strides = _whole_numbers(state, node, 4, "steps") or []
    sizes = state.graph.shape(node.input[0])
    all_kept = {
        axis % 4
        for axis, start, end in zip(axes, starts, ends, strict=True)
        if slice(start, end).indices(sizes[axis]) == (0, sizes[axis], 1)
    }
    if any(s != 1 for s in strides) or not {a % 4 for a in axes} <= kept.keys() | all_kept:
        raise LoweringError(
            node,
            f"slices the axes {axes} by steps of {strides or 1}, expected rows and columns "
            "(axes 2, 3), or slices of channels that all of them lie in once; else pick "
            "channels by a 1x1 convolution",
        )
    for axis, start, end in zip(axes, starts, ends, strict=True):
        if axis % 4 not in kept:
            continue
        low, high = kept[axis % 4]
        begin, stop, _ = slice(start, end).indices(high - low)
        if begin >= stop:
            raise LoweringError(node, f"keeps {start}..{end} of {high - low}, expected some")
        kept[axis % 4] = (low + begin, low + stop)


def _whole_numbers(
    state: Lowering, node: onnx.NodeProto, index: int, name: str
) -> list[int] | None:
    """Return constant whole numbers: input ``index``, or in older opsets attribute ``name``.

    They are not turned into float64, which does not hold the 2**63 - 1 that stands for "to
    the end".
    """
    if len(node.input) > index and node.input[index]:
        value = state.graph.constants.get(node.input[index])
    else:
        given = state.graph.attributes(node).get(name)
        value = None if given is None else np.asarray(given, dtype=np.int64)
    return None if value is None else [int(v) for v in value.reshape(-1)]


def cropped(state: Lowering, where: str, x: Stream, border: list[int]) -> Stream:
    """Take [top, left, bottom, right] rows and columns off a map."""
    top, left, bottom, right = border
    _, h, w, c = x.shape
    (y,) = state.builder.add(
        "StreamCrop",
        where,
        [x],
        [((1, h - top - bottom, w - left - right, c), x.datatype)],
        {
            "NumChannels": c,
            "SIMD": 1,
            "ImgDim": [h, w],
            "Crop": border,
            "inputDataType": x.datatype,
        },
        scale=x.scale,
    )
    return replace(y, levels=x.levels, first=x.first)


BUILDS = (
    Construct(
        ("Slice",),
        "rows and columns taken off a map or left out; parts of the channels",
        "any",
        ("stream_crop", "stream_max_pool", "streaming_split"),
        "steps above 0 along image axes; slices of channels that make up all of them",
    ),
)
HANDLERS: dict[str, Handler] = {"Slice": crop}

# SPDX-License-Identifier: Apache-2.0
"""Skips: what waits in front of a StreamingConcat, and the least that has to wait there.

The bound follows from dependencies alone. Every op needs certain pixels of its input before a pixel
of its output can exist; passed on from the fork to the concat this says how many pixels of the skip
have been made, by any schedule, when pixel p comes the other way. Those the concat cannot have
taken yet are stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from ..kernels.base import IntArray, node_attributes
from .executor import base_op
from .fifo_sizing import FifoDepth
from .insert_streams import fifo_name


@dataclass(frozen=True)
class Skip:
    """An edge from a fork straight to a StreamingConcat that the other copy reaches in a detour."""

    edge: str
    """Name of its FIFO."""
    consumer: str
    """The StreamingConcat."""
    bound_pixels: int
    """The fewest pixels that any schedule must hold on it."""
    map_pixels: int
    """Pixels of the whole map."""
    pixel_bits: int
    """Bits of a pixel of all channels."""


def skips(model: ModelWrapper) -> list[Skip]:
    """Return the skips of a dataflow graph, in topological order."""
    writers = {name: node for node in model.graph.node for name in node.output}
    found = []
    for concat in model.graph.node:
        if base_op(concat.op_type) != "StreamingConcat":
            continue
        for index, name in enumerate(concat.input):
            fork = writers.get(name)
            if fork is None or base_op(fork.op_type) != "DuplicateStreams":
                continue
            others = _needed(model, fork, concat, skip=name)
            if others is None:
                continue
            # Of a pixel the concat takes the channels of its first input first.
            taken = np.arange(others.size) + (index == 0)
            _, h, w, c = model.get_tensor_shape(name)
            found.append(
                Skip(
                    fifo_name(fork.name, list(fork.output).index(name)),
                    concat.name,
                    max(0, int((others - taken).max())),
                    h * w,
                    c * int(model.get_tensor_datatype(name).bitwidth()),
                )
            )
    return found


def skip_table(model: ModelWrapper, fifos: Sequence[FifoDepth]) -> list[dict[str, Any]]:
    """Return the skips beside their sized FIFOs, as report.json lists them.

    Returns:
        One object per skip: edge (the FIFO's name), consumer, depth (words), bits, peak_bits
        (held at most; depths are those of memory blocks), bound_words, bound_bits (the least any
        schedule must hold), map_bits (the whole map).
    """
    sized = {f.name: f for f in fifos}
    table = []
    for skip in skips(model):
        fifo = sized[skip.edge]
        bound_bits = skip.bound_pixels * skip.pixel_bits
        table.append(
            {
                "edge": skip.edge,
                "consumer": skip.consumer,
                "depth": fifo.depth,
                "bits": fifo.bits,
                "peak_bits": fifo.peak * fifo.width,
                "bound_words": bound_bits // fifo.width,
                "bound_bits": bound_bits,
                "map_bits": skip.map_pixels * skip.pixel_bits,
            }
        )
    return table


def _needed(model: ModelWrapper, fork: NodeProto, concat: NodeProto, skip: str) -> IntArray | None:
    """Return how many pixels the fork has made when pixel p reaches ``concat`` the other way.

    None if nothing of the fork reaches it.
    """
    pixels = _pixels(model, fork.input[0])
    made: dict[str, IntArray] = {
        name: np.arange(1, pixels + 1) for name in fork.output if name != skip
    }
    for node in model.graph.node:
        known = [made[name] for name in node.input if name in made]
        if not known:
            continue
        before = np.max(known, axis=0)
        if node.name == concat.name:
            return before
        for name in node.output:
            last = _last_needed(node, before.size, _pixels(model, name))
            # Pixels leave in order: none before the one in front of it.
            made[name] = np.maximum.accumulate(np.append(before, 0)[last])
    return None


def _last_needed(node: NodeProto, pixels_in: int, pixels_out: int) -> IntArray:
    """Return for each output pixel the last input pixel it needs; -1 for none."""
    attributes = node_attributes(node)
    geometry = GEOMETRIES.get(base_op(node.op_type))
    if geometry is not None:
        rows, columns, width = geometry(attributes)
        needed = rows[:, None] * width + columns[None, :]
        return np.where((rows[:, None] < 0) | (columns[None, :] < 0), -1, needed).reshape(-1)
    if pixels_in == pixels_out:
        return np.arange(pixels_out)
    return np.full(pixels_out, pixels_in - 1)


def _pixels(model: ModelWrapper, name: str) -> int:
    return math.prod(model.get_tensor_shape(name)[1:-1])


Geometry = tuple[IntArray, IntArray, int]
"""Last input row of each output row, last input column of each output column, input width."""


def _bordered(attributes: Mapping[str, Any]) -> Geometry:
    """FMPadding: a border needs nothing."""
    (h, w), (top, left, bottom, right) = attributes["ImgDim"], attributes["Padding"]
    rows = np.pad(np.arange(h), (top, bottom), constant_values=-1)
    columns = np.pad(np.arange(w), (left, right), constant_values=-1)
    return rows, columns, w


def _reflected(attributes: Mapping[str, Any]) -> Geometry:
    (h, w), (top, left, bottom, right) = attributes["ImgDim"], attributes["Padding"]
    rows = np.pad(np.arange(h), (top, bottom), mode="reflect")
    return rows, np.pad(np.arange(w), (left, right), mode="reflect"), w


def _cropped(attributes: Mapping[str, Any]) -> Geometry:
    (h, w), (top, left, bottom, right) = attributes["ImgDim"], attributes["Crop"]
    return np.arange(top, h - bottom), np.arange(left, w - right), w


def _interleaved(attributes: Mapping[str, Any]) -> Geometry:
    h, w = attributes["ImgDim"]
    return np.arange(2 * h) // 2, np.arange(2 * w) // 2, w


def _windowed(attributes: Mapping[str, Any]) -> Geometry:
    ends = [
        np.arange(out) * stride + (kernel - 1) * dilation
        for out, stride, kernel, dilation in zip(
            attributes["OFMDim"],
            attributes["Stride"],
            attributes["ConvKernelDim"],
            attributes["Dilation"],
            strict=True,
        )
    ]
    return ends[0], ends[1], attributes["IFMDim"][1]


def _pooled(attributes: Mapping[str, Any]) -> Geometry:
    ends = [
        np.minimum(np.arange(out) * stride + kernel - 1 - pad, size - 1)
        for out, stride, kernel, pad, size in zip(
            attributes["OutDim"],
            attributes["Stride"],
            attributes["KernelDim"],
            attributes["Padding"][:2],
            attributes["ImgDim"],
            strict=True,
        )
    ]
    return ends[0], ends[1], attributes["ImgDim"][1]


GEOMETRIES = {
    "FMPadding": _bordered,
    "StreamReflectPad": _reflected,
    "StreamCrop": _cropped,
    "PixelInterleave": _interleaved,
    "ConvolutionInputGenerator": _windowed,
    "StreamMaxPool": _pooled,
}
"""Ops that move pixels; every other op makes pixel p of pixel p, or one pixel of all."""

# SPDX-License-Identifier: Apache-2.0
"""Sums of tensors with each other, and with what depends on the place."""

from __future__ import annotations

import numpy as np

from ....quant.grid import IntArray
from ..packer import Node, Packer
from ..plan import MAX_AXIS, MAX_TENSOR_BYTES, ModelError
from .site import INT32, Check, Range, Site


def add(p: Packer, node: Node, inputs: list[int], factors: list[int], out: int) -> None:
    """Add tensors, each times a factor, in 32 bits."""
    constants = {"factors": np.array(factors, dtype=np.int32)}
    p.step("add", node.name, inputs, [out], constants=constants)


def check_add(s: Site) -> list[Range]:
    """Tensors in 32 bits, each times a factor.

    Constants:
        factors: int32 (inputs,), not 0.
    """
    s.arity((max(len(s.inputs), 1),), 1, ("factors",))
    s.attributes(())
    s.same()
    for tensor in (*s.inputs, *s.outputs):
        s.stores(tensor, "i32")
    factors = [int(f) for f in s.constant("factors", (len(s.inputs),), np.int32)]
    if 0 in factors:
        raise ModelError(f"{s.where}: found the factors {factors}, expected others than 0")
    terms = list(zip(factors, s.ranges, strict=True))
    # Whatever the order, no partial sum is larger than that of the magnitudes.
    most = sum(abs(f) * max(abs(low), abs(high)) for f, (low, high) in terms)
    s.fits("sums", -most, most)
    ends = [sorted((f * low, f * high)) for f, (low, high) in terms]
    return [(sum(low for low, _ in ends), sum(high for _, high in ends))]


def border(
    p: Packer,
    node: Node,
    index: int,
    out: int,
    bias: IntArray,
    runs: tuple[list[int], list[int]],
    shift: int,
    limits: Range,
) -> None:
    """Shift a picture, add the bias (runs of rows * of columns, C) of every pixel, and saturate."""
    rows, columns = runs
    places = [np.repeat(np.arange(len(part)), part) for part in runs]
    constants = {
        "bias": bias.astype(np.int32),
        "rows": (places[0] * len(columns)).astype(np.int32),
        "columns": places[1].astype(np.int32),
    }
    size = {"height": sum(rows), "width": sum(columns), "biases": len(bias)}
    attributes = {**size, "shift": shift, "low": limits[0], "high": limits[1]}
    p.step("border", node.name, [index], [out], attributes, constants)


def check_border(s: Site) -> list[Range]:
    """A shift, and a bias of each channel that its pixel's row and column choose.

    Constants:
        bias: int32 (biases, channels).
        rows, columns: int32 (height,) and (width,); their sum is the number of a pixel's bias.
    """
    s.arity((1,), 1, ("bias", "rows", "columns"))
    names = ("height", "width", "shift", "biases", "low", "high")
    height, width, shift, biases, least, most = s.attributes(names)
    for name in ("height", "width"):
        s.within(name, 1, MAX_AXIS)
    s.within("shift", 0, 30)
    s.within("biases", 1, MAX_TENSOR_BYTES)
    s.within("low", *INT32)
    s.within("high", least, INT32[1])
    s.same()
    for tensor in (*s.inputs, *s.outputs):
        s.stores(tensor, "i32")
    s.picture(s.inputs[0], height, width, s.inputs[0].channels)
    bias = s.constant("bias", (biases, s.inputs[0].channels), np.int32)
    rows = s.constant("rows", (height,), np.int32)
    columns = s.constant("columns", (width,), np.int32)
    last = int(rows.max()) + int(columns.max())
    if min(rows.min(), columns.min()) < 0 or last >= biases:
        raise ModelError(f"{s.where}: chooses bias {last}, expected 0..{biases - 1}")
    low, high = (value << shift for value in s.ranges[0])
    s.fits("shifted sums", low, high)
    low, high = low + int(bias.min()), high + int(bias.max())
    s.fits("sums", low, high)
    return [(min(max(low, least), most), min(max(high, least), most))]


OPS: dict[str, Check] = {"add": check_add, "border": check_border}

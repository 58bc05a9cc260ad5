# SPDX-License-Identifier: Apache-2.0
"""Pools and the class index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..packer import Node, Packer
from ..plan import ModelError
from ..windows import Geometry
from .site import INT128, Check, Range, Site, union


def max_pool(p: Packer, node: Node, index: int, out: int, geometry: Geometry) -> None:
    """Add maxima over windows of a tensor in any storage; the border counts for nothing."""
    p.step("max_pool", node.name, [index], [out], geometry.attributes())


def check_max_pool(s: Site) -> list[Range]:
    """Maxima over windows, each with a pixel of the picture in it."""
    _windows(s)
    s.stores(s.outputs[0], s.inputs[0].storage)
    return s.ranges


def window_sum(p: Packer, node: Node, index: int, out: int, geometry: Geometry) -> None:
    """Add sums over windows of a tensor of bytes or 32 bits; the border counts 0."""
    p.step("window_sum", node.name, [index], [out], geometry.attributes())


def check_window_sum(s: Site) -> list[Range]:
    """Sums over windows, each with a pixel of the picture in it."""
    g = _windows(s)
    s.stores(s.inputs[0], "u8", "i8", "i32")
    s.stores(s.outputs[0], "i32")
    low, high = s.ranges[0]
    taps = g["kernel_y"] * g["kernel_x"]
    found = min(low, low * taps), max(high, high * taps)
    s.fits("sums", *union(found, (0, 0)))
    return [found]


def _windows(s: Site) -> dict[str, int]:
    """Check windows that have a pixel of the picture in them; returns their geometry."""
    s.arity((1,), 1)
    g = s.geometry()
    s.size(s.outputs[0], s.outputs[0].pixels, s.inputs[0].channels)
    for axis, size, before in (("y", "height", "pad_top"), ("x", "width", "pad_left")):
        s.within(f"dilation_{axis}", 1, 1)
        last = (g[f"out_{size}"] - 1) * g[f"stride_{axis}"] - g[before]
        if g[before] >= g[f"kernel_{axis}"] or last >= g[size]:
            raise ModelError(f"{s.where}: a window lies wholly in the border; make it narrower")
    return g


def sum_pool(p: Packer, node: Node, index: int, out: int) -> None:
    """Add the sums over all pixels of a tensor of bytes or 32 bits."""
    p.step("sum_pool", node.name, [index], [out])


def check_sum_pool(s: Site) -> list[Range]:
    """Sums over all pixels, which begin at 0."""
    s.arity((1,), 1)
    s.attributes(())
    s.stores(s.inputs[0], "u8", "i8", "i32")
    s.stores(s.outputs[0], "i32")
    s.size(s.outputs[0], 1, s.inputs[0].channels)
    low, high = (value * s.inputs[0].pixels for value in s.ranges[0])
    s.fits("sums", min(low, 0), max(high, 0))
    return [(low, high)]


def argmax(p: Packer, node: Node, index: int, out: int) -> None:
    """Add the index of every pixel's largest value, the lowest of equals; all in 32 bits."""
    p.step("argmax", node.name, [index], [out])


def check_argmax(s: Site) -> list[Range]:
    """The index of every pixel's largest value."""
    s.arity((1,), 1)
    s.attributes(())
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.along(s.inputs[0], s.outputs[0])
    s.size(s.outputs[0], s.inputs[0].pixels, 1)
    return [(0, s.inputs[0].channels - 1)]


def argmax_scores(
    p: Packer, node: Node, index: int, out: int, factors: Sequence[int], offsets: Sequence[int]
) -> None:
    """Add the index of every pixel's largest ``value * factor + offset``, of a factor of 64 bits
    and an offset of 128 per channel; of equal ones the lowest."""
    constants = {
        "factors": np.array(factors, dtype=np.int64),
        "low": np.array([v & (1 << 64) - 1 for v in offsets], dtype=np.uint64),
        "high": np.array([v >> 64 for v in offsets], dtype=np.int64),
    }
    p.step("argmax_scores", node.name, [index], [out], {}, constants)


def check_argmax_scores(s: Site) -> list[Range]:
    """The index of every pixel's largest score.

    Constants:
        factors: int64 (channels,).
        low, high: uint64, int64 (channels,): the halves of the offsets.
    """
    s.arity((1,), 1, ("factors", "high", "low"))
    s.attributes(())
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.along(s.inputs[0], s.outputs[0])
    s.size(s.outputs[0], s.inputs[0].pixels, 1)
    channels = s.inputs[0].channels
    factors = s.constant("factors", (channels,), np.int64).tolist()
    low = s.constant("low", (channels,), np.uint64).tolist()
    high = s.constant("high", (channels,), np.int64).tolist()
    ends = [
        value * factor + (over << 64) + under
        for factor, over, under in zip(factors, high, low, strict=True)
        for value in s.ranges[0]
    ]
    s.fits("scores", min(ends), max(ends), INT128)
    return [(0, channels - 1)]


OPS: dict[str, Check] = {
    "max_pool": check_max_pool,
    "window_sum": check_window_sum,
    "sum_pool": check_sum_pool,
    "argmax": check_argmax,
    "argmax_scores": check_argmax_scores,
}

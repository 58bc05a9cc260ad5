# SPDX-License-Identifier: Apache-2.0
"""Pools and the class index."""

from __future__ import annotations

from ..plan import ModelError
from .site import Range, Site


def max_pool(s: Site) -> list[Range]:
    """Maxima over windows, each with a pixel of the picture in it."""
    s.arity((1,), 1, 0)
    g = s.geometry()
    s.stores(s.outputs[0], s.inputs[0].storage)
    s.size(s.outputs[0], s.outputs[0].pixels, s.inputs[0].channels)
    for axis, size, before in (("y", "height", "pad_top"), ("x", "width", "pad_left")):
        s.within(f"dilation_{axis}", 1, 1)
        last = (g[f"out_{size}"] - 1) * g[f"stride_{axis}"] - g[before]
        if g[before] >= g[f"kernel_{axis}"] or last >= g[size]:
            raise ModelError(f"{s.where}: a window lies wholly in the border; make it narrower")
    return s.ranges


def sum_pool(s: Site) -> list[Range]:
    """Sums over all pixels, which begin at 0."""
    s.arity((1,), 1, 0)
    s.attributes(())
    s.stores(s.inputs[0], "u8", "i8", "i32")
    s.stores(s.outputs[0], "i32")
    s.size(s.outputs[0], 1, s.inputs[0].channels)
    low, high = (value * s.inputs[0].pixels for value in s.ranges[0])
    s.fits("sums", min(low, 0), max(high, 0))
    return [(low, high)]


def argmax(s: Site) -> list[Range]:
    """The index of every pixel's largest value."""
    s.arity((1,), 1, 0)
    s.attributes(())
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.along(s.inputs[0], s.outputs[0])
    s.size(s.outputs[0], s.inputs[0].pixels, 1)
    return [(0, s.inputs[0].channels - 1)]

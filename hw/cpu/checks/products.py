# SPDX-License-Identifier: Apache-2.0
"""Matrix products: layouts of the weights, and the largest sums they can reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..plan import BIT_LANES, INT_DEPTH, INT_LANES, ModelError, round_up
from .site import INT64, Range, Site, union

IntArray = npt.NDArray[np.int64]


def bit_convolution(s: Site) -> list[Range]:
    """One bit times one bit."""
    s.arity((1,), 1, 1)
    g = s.geometry()
    s.stores(s.inputs[0], "bits")
    s.stores(s.outputs[0], "i32")
    channels = s.outputs[0].channels
    taps = g["kernel_y"] * g["kernel_x"]
    words = round_up(taps * s.inputs[0].pixel_bytes, 8) // 8
    s.constant(0, (round_up(channels, BIT_LANES) // BIT_LANES, words, BIT_LANES), np.uint64)
    # Bits behind the last channel of a tap are 0 in every window: set in the weights they count.
    used = np.bitwise_or.reduce(s.constants[0], axis=(0, 2)).astype("<u8").view(np.uint8)
    tap = np.packbits(np.ones(s.inputs[0].channels, dtype=np.uint8), bitorder="little")
    allowed = np.tile(tap, taps)
    if (used[: allowed.size] & ~allowed).any() or used[allowed.size :].any():
        raise ModelError(f"{s.where}: its weights have bits behind the last channel; pack it again")
    inputs = taps * s.inputs[0].channels
    return [(-inputs, inputs)]


def int_convolution(s: Site) -> list[Range]:
    """Bytes times signed bytes."""
    s.arity((1,), 1, 2)
    g = s.geometry()
    s.stores(s.inputs[0], "u8", "i8")
    s.stores(s.outputs[0], "i32")
    channels = s.outputs[0].channels
    depth = g["kernel_y"] * g["kernel_x"] * s.inputs[0].channels
    groups = round_up(depth, INT_DEPTH) // INT_DEPTH
    blocks = round_up(channels, INT_LANES) // INT_LANES
    s.constant(0, (blocks, groups, INT_LANES, INT_DEPTH), np.int8)
    s.constant(1, (blocks * INT_LANES,), np.int32)
    weights, bias = s.constants[0], s.constants[1].astype(np.int64)
    if weights[:, -1, :, INT_DEPTH - (groups * INT_DEPTH - depth) :].any():
        raise ModelError(f"{s.where}: its weights go on behind the last input; pack it again")
    above, below = (part.reshape(-1) for part in _sums(weights, (1, 3)))
    # The kernel's partial sums run from the bias over unsigned codes of the whole 8 bits.
    s.fits("sums", int((bias + 255 * below).min()), int((bias + 255 * above).max()))
    low, high = s.ranges[0]
    if any(g[name] for name in ("pad_top", "pad_left", "pad_bottom", "pad_right")):
        low, high = union((low, high), (0, 0))
    if s.inputs[0].storage == "i8":
        # Signed codes are read 128 higher, and the bias takes it back.
        low, high = low + 128, high + 128
    lowest, highest = bias + above * low + below * high, bias + above * high + below * low
    return [(int(lowest[:channels].min()), int(highest[:channels].max()))]


def wide_product(s: Site) -> list[Range]:
    """Products of any width, summed in 64 bits."""
    s.arity((1,), 1, 2)
    s.attributes(())
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.along(s.inputs[0], s.outputs[0])
    s.constant(0, (s.inputs[0].channels, s.outputs[0].channels), np.int32)
    s.constant(1, (s.outputs[0].channels,), np.int32)
    above, below = _sums(s.constants[0], (0,))
    low, high = s.ranges[0]
    largest = int((above - below).max()) * max(-low, high) + (1 << 31)
    s.fits("partial sums", -largest, largest, INT64)
    bias = s.constants[1].astype(np.int64)
    lowest, highest = bias + above * low + below * high, bias + above * high + below * low
    return [(int(lowest.min()), int(highest.max()))]


def _sums(weights: npt.NDArray[Any], axes: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Return the sums of the positive and of the negative weights."""
    return (
        np.maximum(weights, 0).sum(axis=axes, dtype=np.int64),
        np.minimum(weights, 0).sum(axis=axes, dtype=np.int64),
    )

# SPDX-License-Identifier: Apache-2.0
"""Matrix products: orders of the weights, and the largest sums they can reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..plan import ModelError, round_up
from .site import INT64, Range, Site, union

IntArray = npt.NDArray[np.int64]


def bit_convolution(s: Site) -> list[Range]:
    """One bit times one bit.

    Constants:
        weights: uint64 (outputs, words). A row holds the taps of one output one after the other,
            rows of the kernel first; a tap takes whole bytes, channel c is bit c % 8 of byte
            c // 8. Bits behind the last channel of a tap and behind the last tap are 0.
    """
    s.arity((1,), 1, 1)
    g = s.geometry()
    s.stores(s.inputs[0], "bits")
    s.stores(s.outputs[0], "i32")
    channels = s.outputs[0].channels
    taps = g["kernel_y"] * g["kernel_x"]
    words = round_up(taps * s.inputs[0].pixel_bytes, 8) // 8
    s.constant(0, (channels, words), np.uint64)
    # Bits behind the last channel of a tap are 0 in every window: set in the weights they count.
    used = np.bitwise_or.reduce(s.constants[0], axis=0).astype("<u8").view(np.uint8)
    tap = np.packbits(np.ones(s.inputs[0].channels, dtype=np.uint8), bitorder="little")
    allowed = np.tile(tap, taps)
    if (used[: allowed.size] & ~allowed).any() or used[allowed.size :].any():
        raise ModelError(f"{s.where}: its weights have bits behind the last channel; pack it again")
    inputs = taps * s.inputs[0].channels
    return [(-inputs, inputs)]


def int_convolution(s: Site) -> list[Range]:
    """Bytes times signed bytes.

    Constants:
        weights: int8 (outputs, inputs). A row holds the taps of one output one after the other,
            rows of the kernel first, the channels of a tap in their order.
        bias: int32 (outputs,), what the sums begin at. A kernel that reads signed codes 128
            higher takes ``128 * weights.sum(axis=1)`` off it when it lays them out.
    """
    s.arity((1,), 1, 2)
    g = s.geometry()
    s.stores(s.inputs[0], "u8", "i8")
    s.stores(s.outputs[0], "i32")
    channels = s.outputs[0].channels
    depth = g["kernel_y"] * g["kernel_x"] * s.inputs[0].channels
    s.constant(0, (channels, depth), np.int8)
    s.constant(1, (channels,), np.int32)
    bias = s.constants[1].astype(np.int64)
    above, below = _sums(s.constants[0])
    # Signed codes are read 128 higher, and the bias takes it back.
    start = bias - 128 * (above + below) if s.inputs[0].storage == "i8" else bias
    # The kernel's partial sums run from there over unsigned codes of the whole 8 bits.
    s.fits("sums", int((start + 255 * below).min()), int((start + 255 * above).max()))
    low, high = s.ranges[0]
    if any(g[name] for name in ("pad_top", "pad_left", "pad_bottom", "pad_right")):
        low, high = union((low, high), (0, 0))
    lowest, highest = bias + above * low + below * high, bias + above * high + below * low
    return [(int(lowest.min()), int(highest.max()))]


def wide_product(s: Site) -> list[Range]:
    """Products of any width, summed in 64 bits.

    Constants:
        weights: int32 (outputs, inputs).
        bias: int32 (outputs,), what the sums begin at.
    """
    s.arity((1,), 1, 2)
    s.attributes(())
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.along(s.inputs[0], s.outputs[0])
    s.constant(0, (s.outputs[0].channels, s.inputs[0].channels), np.int32)
    s.constant(1, (s.outputs[0].channels,), np.int32)
    above, below = _sums(s.constants[0])
    low, high = s.ranges[0]
    largest = int((above - below).max()) * max(-low, high) + (1 << 31)
    s.fits("partial sums", -largest, largest, INT64)
    bias = s.constants[1].astype(np.int64)
    lowest, highest = bias + above * low + below * high, bias + above * high + below * low
    return [(int(lowest.min()), int(highest.max()))]


def _sums(weights: npt.NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Return the sums of the positive and of the negative weights of every output."""
    return (
        np.maximum(weights, 0).sum(axis=1, dtype=np.int64),
        np.minimum(weights, 0).sum(axis=1, dtype=np.int64),
    )

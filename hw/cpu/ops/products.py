# SPDX-License-Identifier: Apache-2.0
"""Matrix products: their weights, and the largest sums they can reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ....quant.grid import IntArray
from ..packer import Node, Packer
from ..plan import MAX_TENSOR_BYTES, ModelError, round_up
from ..windows import Geometry
from .site import INT64, Check, Range, Site, union


def bit_convolution(
    p: Packer, node: Node, index: int, out: int, geometry: Geometry, weights: IntArray
) -> None:
    """Add the product of bits: +-1 times +-1.

    Args:
        p: the plan.
        node: what the step belongs to.
        index: tensor in bits.
        out: tensor of the sums.
        geometry: windows over the tensor.
        weights: (taps * C, outputs) bits, taps slowest.
    """
    outputs = weights.shape[1]
    bits = weights.T.reshape(outputs, geometry.taps, -1).astype(np.uint8)
    data = np.packbits(bits, axis=-1, bitorder="little").reshape(outputs, -1)
    padded = np.zeros((outputs, round_up(data.shape[1], 8)), dtype=np.uint8)
    padded[:, : data.shape[1]] = data
    constants = {"weights": padded.view("<u8").astype(np.uint64)}
    p.step("bit_convolution", node.name, [index], [out], geometry.attributes(), constants)


def check_bit_convolution(s: Site) -> list[Range]:
    """One bit times one bit.

    Constants:
        weights: uint64 (outputs, words). A row holds the taps of one output one after the other,
            rows of the kernel first; a tap takes whole bytes, channel c is bit c % 8 of byte
            c // 8. Bits behind the last channel of a tap and behind the last tap are 0.
    """
    s.arity((1,), 1, ("weights",))
    g = s.geometry()
    s.stores(s.inputs[0], "bits")
    s.stores(s.outputs[0], "i32")
    channels = s.outputs[0].channels
    taps = g["kernel_y"] * g["kernel_x"]
    words = round_up(taps * s.inputs[0].pixel_bytes, 8) // 8
    weights = s.constant("weights", (channels, words), np.uint64)
    # Bits behind the last channel of a tap are 0 in every window: set in the weights they count.
    used = np.bitwise_or.reduce(weights, axis=0).astype("<u8").view(np.uint8)
    tap = np.packbits(np.ones(s.inputs[0].channels, dtype=np.uint8), bitorder="little")
    allowed = np.tile(tap, taps)
    if (used[: allowed.size] & ~allowed).any() or used[allowed.size :].any():
        raise ModelError(f"{s.where}: its weights have bits behind the last channel; pack it again")
    inputs = taps * s.inputs[0].channels
    return [(-inputs, inputs)]


def int_convolution(
    p: Packer,
    node: Node,
    index: int,
    out: int,
    geometry: Geometry,
    weights: IntArray,
    bias: IntArray | None = None,
) -> None:
    """Add the product of bytes with 8-bit weights.

    Args:
        p: the plan.
        node: what the step belongs to.
        index: tensor in bytes.
        out: tensor of the sums.
        geometry: windows over the tensor.
        weights: (taps * C, outputs) within INT8, taps slowest.
        bias: (outputs,), zeros where there is none.
    """
    if bias is None:
        bias = np.zeros(weights.shape[1], dtype=np.int64)
    constants: dict[str, npt.NDArray[Any]] = {
        "weights": weights.T.astype(np.int8),
        "bias": bias.astype(np.int32),
    }
    p.step("int_convolution", node.name, [index], [out], geometry.attributes(), constants)


def kernel_sums(
    storage: str, above: IntArray, below: IntArray, bias: IntArray
) -> tuple[IntArray, IntArray]:
    """Return the smallest and the largest partial sum of a kernel, for each output.

    Args:
        storage: of the tensor read. Signed codes are read 128 higher, which the bias takes back.
        above: sums of the positive weights.
        below: sums of the negative weights.
        bias: what the sums begin at by definition.
    """
    start = bias - 128 * (above + below) if storage == "i8" else bias
    # The sums run from there over unsigned codes of the whole 8 bits.
    return start + 255 * below, start + 255 * above


def check_int_convolution(s: Site) -> list[Range]:
    """Bytes times signed bytes.

    Constants:
        weights: int8 (outputs, inputs). A row holds the taps of one output one after the other,
            rows of the kernel first, the channels of a tap in their order.
        bias: int32 (outputs,), what the sums begin at. A kernel that reads signed codes 128
            higher takes ``128 * weights.sum(axis=1)`` off it when it lays them out.
    """
    s.arity((1,), 1, ("weights", "bias"))
    g = s.geometry()
    s.stores(s.inputs[0], "u8", "i8")
    s.stores(s.outputs[0], "i32")
    channels = s.outputs[0].channels
    depth = g["kernel_y"] * g["kernel_x"] * s.inputs[0].channels
    above, below = sums_of(s.constant("weights", (channels, depth), np.int8))
    bias = s.constant("bias", (channels,), np.int32).astype(np.int64)
    lowest, highest = kernel_sums(s.inputs[0].storage, above, below, bias)
    s.fits("sums", int(lowest.min()), int(highest.max()))
    low, high = s.ranges[0]
    if any(g[name] for name in ("pad_top", "pad_left", "pad_bottom", "pad_right")):
        low, high = union((low, high), (0, 0))
    lowest, highest = bias + above * low + below * high, bias + above * high + below * low
    return [(int(lowest.min()), int(highest.max()))]


def depthwise_convolution(
    p: Packer,
    node: Node,
    index: int,
    out: int,
    geometry: Geometry,
    weights: IntArray,
    bias: IntArray,
) -> None:
    """Add products of channels of bytes with weights of their own.

    Args:
        p: the plan.
        node: what the step belongs to.
        index: tensor in bytes.
        out: tensor of the sums: those of a channel side by side.
        geometry: windows over the tensor.
        weights: (taps, outputs) within 16 bits.
        bias: (outputs,).
    """
    constants: dict[str, npt.NDArray[Any]] = {
        "weights": weights.T.astype(np.int16),
        "bias": bias.astype(np.int32),
    }
    attributes = geometry.attributes()
    p.step("depthwise_convolution", node.name, [index], [out], attributes, constants)


def depthwise_sums(weights: npt.NDArray[Any], bias: IntArray) -> tuple[int, int]:
    """Return the ends of what any partial sum of weights (outputs, taps) can be."""
    reach = 255 * np.abs(weights.astype(np.int64)).sum(axis=1)
    return int((bias - reach).min()), int((bias + reach).max())


def check_depthwise_convolution(s: Site) -> list[Range]:
    """Bytes times weights of 16 bits, every channel alone. Output o reads channel o * channels //
    outputs.

    Constants:
        weights: int16 (outputs, positions), rows of the kernel first.
        bias: int32 (outputs,), what the sums begin at.
    """
    s.arity((1,), 1, ("weights", "bias"))
    g = s.geometry()
    s.stores(s.inputs[0], "u8", "i8")
    s.stores(s.outputs[0], "i32")
    channels = s.outputs[0].channels
    if channels % s.inputs[0].channels:
        raise ModelError(
            f"{s.where}: found {channels} outputs of {s.inputs[0].channels} channels, expected as "
            "many of each"
        )
    padded = (g["height"] + g["pad_top"] + g["pad_bottom"]) * (
        g["width"] + g["pad_left"] + g["pad_right"]
    )
    if padded * channels > MAX_TENSOR_BYTES:
        raise ModelError(f"{s.where}: its picture needs more than {MAX_TENSOR_BYTES} bytes")
    weights = s.constant("weights", (channels, g["kernel_y"] * g["kernel_x"]), np.int16)
    bias = s.constant("bias", (channels,), np.int32).astype(np.int64)
    s.fits("sums", *depthwise_sums(weights, bias))
    above, below = sums_of(weights)
    low, high = s.ranges[0]
    if any(g[name] for name in ("pad_top", "pad_left", "pad_bottom", "pad_right")):
        low, high = union((low, high), (0, 0))
    lowest, highest = bias + above * low + below * high, bias + above * high + below * low
    return [(int(lowest.min()), int(highest.max()))]


def wide_product(
    p: Packer, node: Node, index: int, out: int, weights: IntArray, bias: IntArray
) -> None:
    """Add the product of a tensor in 32 bits with weights (inputs, outputs) of any width.

    Args:
        p: the plan.
        node: what the step belongs to.
        index: tensor in 32 bits.
        out: tensor of the sums.
        weights: (inputs, outputs) within INT32.
        bias: (outputs,).
    """
    constants = {"weights": weights.T.astype(np.int32), "bias": bias.astype(np.int32)}
    p.step("wide_product", node.name, [index], [out], {}, constants)


def check_wide_product(s: Site) -> list[Range]:
    """Products of any width, summed in 64 bits.

    Constants:
        weights: int32 (outputs, inputs).
        bias: int32 (outputs,), what the sums begin at.
    """
    s.arity((1,), 1, ("weights", "bias"))
    s.attributes(())
    s.stores(s.inputs[0], "i32")
    s.stores(s.outputs[0], "i32")
    s.along(s.inputs[0], s.outputs[0])
    channels = s.outputs[0].channels
    above, below = sums_of(s.constant("weights", (channels, s.inputs[0].channels), np.int32))
    bias = s.constant("bias", (channels,), np.int32).astype(np.int64)
    low, high = s.ranges[0]
    largest = int((above - below).max()) * max(-low, high) + (1 << 31)
    s.fits("partial sums", -largest, largest, INT64)
    lowest, highest = bias + above * low + below * high, bias + above * high + below * low
    return [(int(lowest.min()), int(highest.max()))]


def sums_of(weights: npt.NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Return the sums of the positive and of the negative weights (outputs, inputs)."""
    return (
        np.maximum(weights, 0).sum(axis=1, dtype=np.int64),
        np.minimum(weights, 0).sum(axis=1, dtype=np.int64),
    )


OPS: dict[str, Check] = {
    "bit_convolution": check_bit_convolution,
    "int_convolution": check_int_convolution,
    "depthwise_convolution": check_depthwise_convolution,
    "wide_product": check_wide_product,
}

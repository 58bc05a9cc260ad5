# SPDX-License-Identifier: Apache-2.0
"""ONNX's own way to write a quantiser: QuantizeLinear [-> Clip] -> DequantizeLinear.

Brevitas's QCDQ export and ONNX Runtime's quantisation write networks like this. The pair computes
``saturate(round_half_even(x / scale) + zero) - zero``, times the scale: bit by bit what a Quant
without a zero point does of ``x``, clipped in front where no number of bits saturates like that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from ...quant.grid import signed_width
from ..kernels.base import node_attributes
from .qonnx_graph import LoweringError

Array = npt.NDArray[Any]
Value = Callable[[str], "Array | None"]

RANGES: dict[int, tuple[int, int]] = {
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT8: (0, 255),
    TensorProto.INT16: (-(1 << 15), (1 << 15) - 1),
    TensorProto.UINT16: (0, (1 << 16) - 1),
}
"""Element types that QuantizeLinear may write."""


@dataclass(frozen=True)
class Stored:
    """Integers of the file times a scale: weights or a bias."""

    codes: npt.NDArray[np.int64]
    """Zero point taken off."""
    scale: Array
    """Broadcasts to ``codes``."""


@dataclass(frozen=True)
class Computed:
    """A quantiser of a tensor."""

    source: str
    scale: Array
    """Broadcasts to the tensor."""
    bits: int
    signed: bool
    narrow: bool
    ends: tuple[int, int] | None = None
    """Smallest and largest code, zero point taken off, where ``bits`` allow others."""


def read(
    node: onnx.NodeProto,
    element: int,
    shape: tuple[int, ...],
    producer: Mapping[str, onnx.NodeProto],
    value: Value,
) -> Stored | Computed:
    """Read what a DequantizeLinear gives back.

    Args:
        node: the DequantizeLinear.
        element: ONNX element type of its codes.
        shape: shape of its codes.
        producer: the nodes in front of it, by output.
        value: a constant by name, None for a computed tensor.

    Raises:
        LoweringError: a scale that is computed or not above 0, another scale or zero point in
            front, or a range that no number of bits gives.
    """
    axis = _axis(node, len(shape))
    scale, zero = _scale(node, value), _zero(node, value)
    along = _along(node, scale, axis, shape)
    codes = value(node.input[0])
    if codes is not None:
        offset = zero if zero.size == 1 else _along(node, zero, axis, shape)
        return Stored(codes.astype(np.int64) - offset, along)
    if zero.size > 1 and zero.any():
        raise LoweringError(
            node, "found a zero point per channel of what is computed, expected one for all"
        )
    if element not in RANGES:
        raise LoweringError(
            node, f"found codes of the element type {element}, expected 8 or 16 bits"
        )
    low, high = RANGES[element]
    before = producer.get(node.input[0])
    while before is not None and before.op_type == "Clip":
        ends = [value(name) if name else None for name in before.input[1:]]
        for end, name in zip(ends, before.input[1:], strict=True):
            if name and (end is None or end.size != 1):
                raise LoweringError(before, f"clips codes to {name}, expected a constant number")
        if ends and ends[0] is not None:
            low = max(low, int(ends[0].reshape(())))
        if len(ends) > 1 and ends[1] is not None:
            high = min(high, int(ends[1].reshape(())))
        before = producer.get(before.input[0])
    if before is None or before.op_type != "QuantizeLinear":
        found = "no node" if before is None else f"{before.op_type} {before.name}"
        raise LoweringError(
            node, f"found {found} in front, expected QuantizeLinear, or it and Clip"
        )
    same = np.array_equal(_scale(before, value), scale) and np.array_equal(
        np.unique(_zero(before, value)), np.unique(zero)
    )
    if not same or (scale.size > 1 and _axis(before, len(shape)) != axis):
        raise LoweringError(
            node, f"found another scale or zero point than {before.name}, expected the same"
        )
    return _computed(node, before.input[0], along, low, high, int(zero.flat[0]))


def _computed(
    node: onnx.NodeProto, source: str, scale: Array, low: int, high: int, zero: int
) -> Computed:
    """A quantiser to the codes ``low`` to ``high``, of which the zero point is taken off."""
    low, high = low - zero, high - zero
    for signed in (False, True):
        for bits in range(1 + signed, 17):
            half = 1 << (bits - 1)
            least, most = (-half, half - 1) if signed else (0, 2 * half - 1)
            if (low, high) == (least, most):
                return Computed(source, scale, bits, signed, False)
            if bits > 1 and (low, high) == ((least + 1, most) if signed else (least, most - 1)):
                return Computed(source, scale, bits, signed, True)
    if scale.size > 1 or low > 0 or high < 0:
        raise LoweringError(
            node,
            f"found codes of {low}..{high} less the zero point and {scale.size} scales, expected "
            "one scale and a range around 0, or the codes of a number of bits, such as -8..7",
        )
    bits = max(2, signed_width(low, high)) if low < 0 else max(1, high.bit_length())
    return Computed(source, scale, bits, low < 0, False, (low, high))


def _axis(node: onnx.NodeProto, rank: int) -> int:
    attributes = node_attributes(node)
    if attributes.get("block_size", 0) != 0:
        raise LoweringError(node, "quantises in blocks, expected one scale, or one per channel")
    if attributes.get("output_dtype", 0) not in (0, TensorProto.FLOAT, *RANGES):
        raise LoweringError(node, "found an element type that is not supported")
    axis = int(attributes.get("axis", 1))
    return axis % rank if -rank <= axis < rank else rank


def _scale(node: onnx.NodeProto, value: Value) -> Array:
    scale = value(node.input[1])
    if scale is None or scale.dtype != np.float32 or scale.ndim > 1 or not scale.size:
        raise LoweringError(node, "found no constant float32 scale, expected one (per channel)")
    if not (np.isfinite(scale) & (scale > np.finfo(np.float32).tiny)).all():
        raise LoweringError(node, "found a scale that is not above 0, expected normal numbers")
    return scale


def _zero(node: onnx.NodeProto, value: Value) -> npt.NDArray[np.int64]:
    if len(node.input) < 3 or not node.input[2]:
        return np.zeros((), dtype=np.int64)
    zero = value(node.input[2])
    if zero is None or zero.dtype.kind not in "iu" or zero.ndim > 1 or not zero.size:
        raise LoweringError(node, "found no constant whole zero point, expected 0")
    return zero.astype(np.int64)


def _along(node: onnx.NodeProto, row: Array, axis: int, shape: tuple[int, ...]) -> Array:
    """Bring one value, or one per channel, into a shape that broadcasts."""
    if row.size == 1:
        return row.reshape(())
    if axis >= len(shape) or shape[axis] != row.size:
        raise LoweringError(
            node, f"found {row.size} scales or zero points for axis {axis} of the shape {shape}"
        )
    if (row == row[0]).all():
        return row[:1].reshape(())
    return row.reshape([-1 if i == axis else 1 for i in range(len(shape))])

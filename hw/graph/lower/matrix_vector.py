# SPDX-License-Identifier: Apache-2.0
"""A matrix times a stream, by the unit that fits both: XnorMvu, BinaryMvu or IntMvu."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx

from ....quant.grid import (
    ACCUMULATOR_BITS,
    IntArray,
    accumulator_bounds,
    signed_bits,
    smallest_signed,
)
from ..builder import Stream
from ..qonnx_graph import FloatArray, LoweringError
from ..threshold_pattern import MAX_LEVEL
from .pa_product import pa_product
from .state import Lowering, limits
from .weights import integers

Product = Callable[
    [Lowering, onnx.NodeProto, str, Stream, FloatArray, Fraction, "FloatArray | None"], Stream
]
"""Makes the accumulators of a product: state, node, layer, stream, weights, scale, bias."""


def matrix_vector(
    state: Lowering,
    node: onnx.NodeProto,
    where: str,
    x: Stream,
    matrix: FloatArray,
    scale: Fraction,
    bias: FloatArray | None,
    acc: str = "",
) -> Stream:
    """A matrix (MW, MH) times the stream: XnorMvu on 1-bit tensors, BinaryMvu of weights -1 and +1
    on unsigned codes, IntMvu on integers; level codes have a unit of their own. ``scale`` is what
    one step of the result stands for; ``acc`` a datatype for it, at least as wide as it needs."""
    mw, mh = matrix.shape
    if mw != x.channels:
        raise LoweringError(
            node, f"found weights for {mw} inputs, expected {x.channels} of {x.name}"
        )
    common = {"MW": mw, "MH": mh, "SIMD": 1, "PE": 1, "numInputVectors": x.vectors}
    shape = (*x.shape[:-1], mh)
    if x.datatype == "BINARY":
        if bias is not None or not signs(matrix):
            raise LoweringError(
                node,
                "found a bias or weights other than -1 and +1 on a 1-bit tensor, "
                "expected 1-bit weights without bias",
            )
        acc = acc or f"INT{signed_bits(mw)}"
        (y,) = state.builder.add(
            "XnorMvu",
            where,
            [x],
            [(shape, acc)],
            {**common, "outputDataType": acc},
            {"weights": ((matrix > 0).astype(np.int64), "BINARY")},
            scale,
        )
        return y
    weights = integers(node, "weights", matrix)
    weight_type = smallest_signed(int(weights.min()), int(weights.max()))
    constants = {"weights": (weights, weight_type)}
    offset = np.zeros(mh, dtype=np.int64)
    if bias is not None:
        offset = integers(node, "bias", bias)
        constants["bias"] = (offset, smallest_signed(int(offset.min()), int(offset.max())))
    least_code, most_code = represented(x)
    least, most = accumulator_bounds(weights, least_code, most_code, offset)
    acc = acc or smallest_signed(int(least.min()), int(most.max()))
    if int(acc.removeprefix("INT")) > ACCUMULATOR_BITS:
        raise LoweringError(
            node,
            f"its accumulator reaches {int(least.min())}..{int(most.max())}, expected at most "
            f"{ACCUMULATOR_BITS} bits; use fewer weight bits or channels",
        )
    if x.levels:
        return pa_product(state, node, where, x, weights, acc, bias)
    op, attrs = "IntMvu", {**common, "inputDataType": x.datatype, "outputDataType": acc}
    if bias is None and least_code >= 0 and most_code <= MAX_LEVEL and signs(weights):
        op, attrs["implementation"] = "BinaryMvu", "auto"
        constants = {"weights": ((weights > 0).astype(np.int64), "BINARY")}
    else:
        attrs["weightDataType"] = weight_type
    (y,) = state.builder.add(op, where, [x], [(shape, acc)], attrs, constants, scale)
    state.reached[y.name] = (least, most)
    return y


def represented(x: Stream) -> tuple[int, int]:
    """Smallest and largest value the codes of a stream stand for, in steps of its scale."""
    if x.levels:
        return 0, max(x.levels)
    return (-1, 1) if x.datatype == "BINARY" else limits(x.datatype)


def signs(weights: IntArray | FloatArray) -> bool:
    """Whether all weights are -1 or +1."""
    return bool(np.all(np.abs(weights) == 1))

# SPDX-License-Identifier: Apache-2.0
"""Convolutions in groups of channels, depthwise ones among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx

from ....quant.grid import ACCUMULATOR_BITS, IntArray, accumulator_bounds, smallest_signed
from ..builder import Stream
from ..qonnx_graph import FloatArray, LoweringError
from .matrix_vector import Product, matrix_vector, represented, signs
from .state import Lowering
from .weights import integers

LANES_OF_A_GROUP = 10
"""Products of one group, per group there is, up to which GroupedMvu takes fewer LUTs than a window
and a matrix-vector unit for each: about 30 LUTs a product of 4 bits, 300 such a pair."""

MOST_DENSE = 1 << 24
"""Most weights of a product of all channels that takes the place of one in groups."""


def in_one_unit(groups: int, inputs: int, outputs: int) -> bool:
    """Whether one GroupedMvu is to compute groups of so many channels and outputs."""
    return inputs * outputs <= LANES_OF_A_GROUP * groups


def dense(matrix: FloatArray, groups: int, taps: int) -> FloatArray:
    """The matrix (taps * C, outputs) of the same sums over all channels: 0 where an output's group
    has none."""
    inputs, outputs = matrix.shape[0] // taps, matrix.shape[1] // groups
    full = np.zeros((taps, groups, inputs, groups, outputs))
    for group in range(groups):
        of_group = matrix[:, group * outputs : (group + 1) * outputs]
        full[:, group, :, group] = of_group.reshape(taps, inputs, outputs)
    return full.reshape(taps * groups * inputs, groups * outputs)


def grouped(groups: int, taps: int) -> Product:
    """The product of windows with the weights of their groups, by one GroupedMvu."""

    def multiply(
        state: Lowering,
        node: onnx.NodeProto,
        where: str,
        x: Stream,
        matrix: FloatArray,
        scale: Fraction,
        bias: FloatArray | None,
    ) -> Stream:
        weights = integers(node, "weights", matrix)
        offset = np.zeros(weights.shape[1], dtype=np.int64)
        constants = {}
        if signs(weights):
            constants["weights"] = ((weights > 0).astype(np.int64), "BINARY")
        else:
            weight_type = smallest_signed(int(weights.min()), int(weights.max()))
            constants["weights"] = (weights, weight_type)
        if bias is not None:
            offset = integers(node, "bias", bias)
            bias_type = smallest_signed(int(offset.min()), int(offset.max()))
            constants["bias"] = (offset, bias_type)
        least, most, acc = _reach(node, weights, x, offset)
        (y,) = state.builder.add(
            "GroupedMvu",
            where,
            [x],
            [((*x.shape[:-1], weights.shape[1]), acc)],
            {
                "MW": x.channels,
                "MH": weights.shape[1],
                "SIMD": x.channels // taps // groups,
                "numInputVectors": x.vectors,
                "outputDataType": acc,
                "Groups": groups,
                "Taps": taps,
                "inputDataType": x.datatype,
                "inputSigns": int(x.datatype == "BINARY"),
                "weightDataType": constants["weights"][1],
            },
            constants,
            scale,
        )
        state.reached[y.name] = (least, most)
        return y

    return multiply


def each_alone(groups: int, windows: Callable[[Stream], Stream]) -> Product:
    """The same by a window and a matrix-vector unit for each group, of a map that is split."""

    def multiply(
        state: Lowering,
        node: onnx.NodeProto,
        where: str,
        x: Stream,
        matrix: FloatArray,
        scale: Fraction,
        bias: FloatArray | None,
    ) -> Stream:
        weights = integers(node, "weights", matrix)
        offset = np.zeros(weights.shape[1]) if bias is None else bias
        least, most, acc = _reach(node, weights, x, integers(node, "bias", offset))
        inputs, outputs = x.channels // groups, weights.shape[1] // groups
        parts = state.builder.add(
            "StreamingSplit",
            where,
            [x],
            [((*x.shape[:-1], inputs), x.datatype)] * groups,
            {
                "SIMD": 1,
                "ChannelsPerStream": [inputs] * groups,
                "inputDataType": x.datatype,
                "numInputVectors": x.vectors,
            },
            scale=x.scale,
        )
        sums = []
        for i, part in enumerate(parts):
            own = slice(i * outputs, (i + 1) * outputs)
            sums.append(
                matrix_vector(
                    state,
                    node,
                    where,
                    windows(replace(part, first=x.first)),
                    matrix[:, own],
                    scale,
                    None if bias is None else bias[own],
                    acc,
                )
            )
        (y,) = state.builder.add(
            "StreamingConcat",
            where,
            sums,
            [((*sums[0].shape[:-1], weights.shape[1]), acc)],
            {
                "SIMD": 1,
                "ChannelsPerStream": [outputs] * groups,
                "inputDataTypes": [acc] * groups,
                "numInputVectors": sums[0].vectors,
            },
            scale=scale,
        )
        state.reached[y.name] = (least, most)
        return y

    return multiply


def _reach(
    node: onnx.NodeProto, weights: IntArray, x: Stream, offset: IntArray
) -> tuple[IntArray, IntArray, str]:
    """The smallest and the largest sum of each output, and the type that holds them all."""
    least, most = accumulator_bounds(weights, *represented(x), offset)
    acc = smallest_signed(int(least.min()), int(most.max()))
    if int(acc.removeprefix("INT")) > ACCUMULATOR_BITS:
        raise LoweringError(
            node,
            f"its accumulator reaches {int(least.min())}..{int(most.max())}, expected at most "
            f"{ACCUMULATOR_BITS} bits; use fewer weight bits or channels",
        )
    return least, most, acc

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of GroupedMvu: depthwise and wider groups, every way to fold, bits and codes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, accumulator_bounds, limits, smallest_signed, type_format
from ....sim.cases import Case, Operand


def _case(
    groups: int,
    inputs: int,
    outputs: int,
    taps: int,
    simd: int,
    vectors: tuple[int, ...] = (1, 2, 2),
    x_type: str = "UINT8",
    w_type: str = "INT8",
    bias: int = 0,
) -> Case:
    """``bias`` is the largest magnitude of the bias, 0 for none."""
    mw, mh, rows = groups * inputs * taps, groups * outputs, inputs * taps
    (x_low, x_high), (w_low, w_high) = (
        (0, 1) if name == "BINARY" else limits(*type_format(name)) for name in (x_type, w_type)
    )

    def initializers(rng: np.random.Generator) -> list[IntArray]:
        w = rng.integers(w_low, w_high, (rows, mh), dtype=np.int64, endpoint=True)
        w[:, 0] = w_high
        w[:, -1] = w_low
        b = rng.integers(-bias, bias, mh, dtype=np.int64, endpoint=True)
        b[0], b[-1] = bias, -bias
        return [w, b] if bias else [w]

    weights, *biases = initializers(np.random.default_rng(1))
    weights = 2 * weights - 1 if w_type == "BINARY" else weights
    ends = (-1, 1) if x_type == "BINARY" else (x_low, x_high)
    low, high = accumulator_bounds(weights, *ends, biases[0] if biases else 0)
    accumulator = smallest_signed(int(low.min()), int(high.max()))

    def worst(values: Sequence[IntArray]) -> list[list[IntArray]]:
        # The largest and the smallest sum of one output of every group, per input vector.
        w = 2 * values[0] - 1 if w_type == "BINARY" else values[0]
        shaped = w.reshape(taps, inputs, groups, outputs)
        picked = np.stack(
            [shaped[..., (i + 1) % outputs - 1] for i in range(math.prod(vectors))]
        ).transpose(0, 1, 3, 2)
        top = np.where(picked > 0, x_high, x_low)
        bottom = np.where(picked > 0, x_low, x_high)
        frames = [top, bottom, np.full_like(top, x_low), np.full_like(top, x_high)]
        return [[f.reshape(*vectors, mw)] for f in frames]

    operands = [
        Operand("x", x_type, (*vectors, mw), x_low, x_high),
        Operand("w", w_type, (rows, mh), w_low, w_high, streamed=False),
    ]
    if bias:
        operands.append(Operand("bias", accumulator, (mh,), -bias, bias, streamed=False))
    tail = "_bias" if bias else ""
    return Case(
        name=f"{x_type.lower()}_{w_type.lower()}_g{groups}_i{inputs}_o{outputs}_k{taps}"
        f"_simd{simd}{tail}",
        op_type="GroupedMvu",
        attrs={
            "MW": mw,
            "MH": mh,
            "SIMD": simd,
            "numInputVectors": list(vectors),
            "outputDataType": accumulator,
            "Groups": groups,
            "Taps": taps,
            "inputDataType": x_type,
            "inputSigns": int(x_type == "BINARY"),
            "weightDataType": w_type,
        },
        operands=tuple(operands),
        output_types=(accumulator,),
        initializers=initializers,
        worst=worst,
    )


SMOKE = [
    _case(12, 1, 1, 9, 2, x_type="UINT4", w_type="INT4"),  # six turns
    _case(6, 1, 2, 9, 2, x_type="INT8", bias=500),  # three turns, two outputs of a channel
    _case(4, 1, 1, 9, 12, (1, 3, 3), x_type="INT4", w_type="BINARY"),  # three positions of a word
    _case(4, 1, 1, 9, 36, (1, 4, 4), x_type="UINT4", w_type="INT2", bias=7),  # a window is a word
    _case(4, 4, 4, 9, 4, x_type="INT3", w_type="INT6"),  # whole groups
    _case(8, 1, 1, 9, 8, x_type="BINARY", w_type="INT4"),  # one turn
    _case(768, 1, 1, 2, 1, (1, 1, 2), x_type="INT4", w_type="INT4"),  # sums in parts of LUT RAM
]

FULL = [
    _case(16, 1, 1, 25, 4, x_type="UINT8", w_type="INT8"),
    _case(8, 1, 1, 9, 1, x_type="BINARY", w_type="BINARY"),
    _case(8, 1, 1, 9, 8, x_type="UINT1", w_type="INT2"),
    _case(32, 1, 1, 9, 8, x_type="UINT4", w_type="INT4", bias=100),
    _case(32, 1, 1, 9, 32, x_type="UINT4", w_type="INT4"),
    _case(6, 1, 3, 9, 3, x_type="INT2", w_type="INT3"),
    _case(2, 8, 4, 9, 8, x_type="UINT4", w_type="INT4"),
    _case(8, 4, 4, 9, 16, x_type="UINT4", w_type="BINARY"),
    _case(2, 3, 2, 4, 12, x_type="INT8", w_type="INT8"),
    _case(5, 1, 1, 9, 5, x_type="UINT8", w_type="INT6"),
    _case(4, 2, 1, 1, 2, x_type="UINT8", w_type="INT4"),  # a window of one position
    _case(1, 3, 2, 4, 3, x_type="UINT4", w_type="INT4"),  # one group
    _case(6, 1, 1, 9, 3, x_type="INT4", w_type="INT4"),  # two turns
    _case(640, 1, 2, 3, 2, (1, 1, 2), x_type="UINT8", w_type="INT8", bias=9),  # banks of weights
]

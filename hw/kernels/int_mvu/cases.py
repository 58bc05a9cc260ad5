# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of IntMvu: foldings, signed and unsigned inputs, weights of 2 to 8 bits, bias."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, limits
from ....sim.cases import Case, Operand


def _case(
    mw: int,
    mh: int,
    simd: int,
    pe: int,
    vectors: tuple[int, ...],
    x_type: str = "UINT8",
    w_bits: int = 8,
    bias: int = 0,
) -> Case:
    """``bias`` is the largest magnitude of the bias, 0 for none."""
    signed = x_type.startswith("INT")
    x_low, x_high = limits(int(x_type.lstrip("UINT")), signed)
    w_low, w_high = limits(w_bits)
    worst_sum = mw * max(-x_low, x_high) * -w_low + bias
    accumulator = f"INT{worst_sum.bit_length() + 1}"

    def initializers(rng: np.random.Generator) -> list[IntArray]:
        w = rng.integers(w_low, w_high, (mw, mh), dtype=np.int64, endpoint=True)
        w[:, 0] = w_high
        w[:, -1] = w_low
        b = rng.integers(-bias, bias, mh, dtype=np.int64, endpoint=True)
        b[0], b[-1] = bias, -bias
        return [w, b] if bias else [w]

    def worst(values: Sequence[IntArray]) -> list[list[IntArray]]:
        # The largest and the smallest sum of some output, per input vector.
        columns = values[0].T
        picked = np.stack([columns[i % mh] for i in range(math.prod(vectors))])
        top = np.where(picked > 0, x_high, x_low)
        bottom = np.where(picked > 0, x_low, x_high)
        frames = [top, bottom, np.full_like(top, x_low), np.full_like(top, x_high)]
        return [[f.reshape(*vectors, mw)] for f in frames]

    operands = [
        Operand("x", x_type, (*vectors, mw), x_low, x_high),
        Operand("w", f"INT{w_bits}", (mw, mh), w_low, w_high, streamed=False),
    ]
    if bias:
        operands.append(Operand("bias", accumulator, (mh,), -bias, bias, streamed=False))
    tail = "_bias" if bias else ""
    return Case(
        name=f"{x_type.lower()}_int{w_bits}_mw{mw}_mh{mh}_simd{simd}_pe{pe}{tail}",
        op_type="IntMvu",
        attrs={
            "MW": mw,
            "MH": mh,
            "SIMD": simd,
            "PE": pe,
            "numInputVectors": list(vectors),
            "inputDataType": x_type,
            "weightDataType": f"INT{w_bits}",
            "outputDataType": accumulator,
        },
        operands=tuple(operands),
        output_types=(accumulator,),
        initializers=initializers,
        worst=worst,
    )


SMOKE = [
    _case(81, 6, 27, 2, (1, 2, 2)),
    _case(12, 3, 1, 1, (1, 2, 2), x_type="INT8", bias=5000),
    _case(24, 6, 12, 6, (1, 2, 2), x_type="INT4", w_bits=2),  # PE = MH: no replay buffer
    _case(8, 8, 8, 8, (1, 4, 4), bias=1),  # one word in, one word out
    _case(5, 6, 5, 2, (1, 3, 3), x_type="INT8", bias=300),  # a vector is one word
    _case(70, 60, 2, 1, (1, 1, 2)),  # 2,100 words of weights, in three banks
]

FULL = [
    _case(81, 24, 81, 3, (1, 4, 4)),  # a 9x9 window at once
    _case(8, 8, 8, 8, (1, 4, 4)),  # one word in, one word out
    _case(5, 5, 5, 1, (1, 3, 3), x_type="INT8"),
    _case(192, 6, 24, 2, (1, 1, 1), x_type="INT8", bias=100000),  # a classifier
    _case(192, 6, 1, 1, (1, 1, 1), x_type="INT8", bias=1 << 20),
    _case(12, 3, 2, 3, (1, 3, 3), w_bits=7),  # a pair of outputs and one alone
    _case(6, 4, 3, 4, (1, 3, 3), x_type="INT12", w_bits=6),  # the longest inputs with two products
    _case(6, 4, 3, 4, (1, 3, 3), x_type="INT9"),  # too long for two products
    _case(17, 2, 17, 1, (1, 3, 3), x_type="INT8", w_bits=5),  # two tree levels, odd width
    _case(16, 4, 4, 2, (1, 3, 3), x_type="UINT4", w_bits=4),
    _case(27, 8, 3, 4, (1, 3, 3), w_bits=2),
    _case(48, 4, 16, 4, (1, 3, 3), w_bits=7),
    _case(1, 3, 1, 1, (1, 3, 3)),
    _case(64, 1, 8, 1, (1, 3, 3), x_type="INT2", w_bits=2),
]

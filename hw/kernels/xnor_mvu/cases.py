# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of XnorMvu: every way to fold, odd widths, all-agree and all-disagree inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, signed_bits
from ....sim.cases import Case, Operand


def _case(mw: int, mh: int, simd: int, pe: int, vectors: tuple[int, ...]) -> Case:
    def weights(rng: np.random.Generator) -> list[IntArray]:
        w = rng.integers(0, 1, (mw, mh), dtype=np.int64, endpoint=True)
        w[:, 0] = 1
        w[:, -1] = 0
        return [w]

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        # Inputs that agree, then disagree, in every bit with the weights of some output.
        columns = initializers[0].T
        agree = np.stack([columns[i % mh] for i in range(math.prod(vectors))])
        frames = [agree, 1 - agree, np.zeros_like(agree), np.ones_like(agree)]
        return [[f.reshape(*vectors, mw)] for f in frames]

    accumulator = f"INT{signed_bits(mw)}"
    return Case(
        name=f"mw{mw}_mh{mh}_simd{simd}_pe{pe}_{'x'.join(map(str, vectors))}",
        op_type="XnorMvu",
        attrs={
            "MW": mw,
            "MH": mh,
            "SIMD": simd,
            "PE": pe,
            "numInputVectors": list(vectors),
            "outputDataType": accumulator,
        },
        operands=(
            Operand("x", "BINARY", (*vectors, mw), 0, 1),
            Operand("w", "BINARY", (mw, mh), 0, 1, streamed=False),
        ),
        output_types=(accumulator,),
        initializers=weights,
        worst=worst,
    )


SMOKE = [
    _case(216, 24, 72, 3, (1, 2, 2)),  # 9 * 24 inputs, three chunks of the adder tree
    _case(216, 24, 24, 2, (1, 2, 2)),  # the same, 108 words of weights
    _case(6, 4, 1, 1, (1, 2, 3)),  # one bit at a time
    _case(48, 12, 24, 12, (1, 3, 2)),  # PE = MH: no replay buffer
    _case(8, 8, 8, 1, (1, 4, 4)),  # a vector is one word
    _case(68, 192, 4, 3, (1, 1, 2)),  # 1,088 words of weights, in two memories side by side
    _case(512, 24, 256, 8, (1, 2, 2)),  # so many weights that inputs have copies
]

FULL = [
    _case(8, 8, 8, 8, (1, 4, 4)),  # one word in, one word out
    _case(8, 8, 1, 8, (1, 4, 4)),
    _case(24, 24, 24, 2, (1, 4, 4)),
    _case(25, 5, 5, 5, (1, 3, 3)),
    _case(33, 3, 33, 1, (1, 3, 3)),  # just above one chunk
    _case(32, 2, 32, 2, (1, 3, 3)),  # exactly one chunk
    _case(130, 2, 130, 1, (1, 3, 3)),  # five chunks: two tree levels
    _case(432, 48, 48, 4, (1, 2, 2)),
    _case(432, 48, 27, 3, (1, 1, 2)),  # 256 words of weights in LUTs
    _case(600, 24, 24, 1, (1, 2, 1)),  # 25 * 24 inputs, slow
    _case(96, 1, 32, 1, (1, 3, 3)),  # one output
    _case(1, 3, 1, 1, (1, 3, 3)),  # one input bit
]

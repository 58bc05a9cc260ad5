# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of BinaryMvu: both implementations, codes of 1 to 8 bits, every way to fold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, accumulator_bounds, signed_bits
from ....sim.cases import Case, Operand


def _case(
    k: int,
    mw: int,
    mh: int,
    simd: int,
    pe: int,
    implementation: str,
    vectors: tuple[int, ...] = (1, 2, 2),
) -> Case:
    most = (1 << k) - 1

    def weights(rng: np.random.Generator) -> list[IntArray]:
        w = rng.integers(0, 1, (mw, mh), dtype=np.int64, endpoint=True)
        w[:, 0] = 1
        w[:, -1] = 0
        return [w]

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        # The largest and the smallest sum of some output, per input vector; then constants.
        columns = initializers[0].T
        picked = np.stack([columns[i % mh] for i in range(math.prod(vectors))])
        frames = [most * picked, most * (1 - picked)]
        frames += [np.full_like(picked, code) for code in (0, 1, most)]
        return [[f.reshape(*vectors, mw)] for f in frames]

    low, high = accumulator_bounds(2 * weights(np.random.default_rng(1))[0] - 1, 0, most)
    accumulator = f"INT{signed_bits(int(max(-low.min(), high.max())))}"
    return Case(
        name=f"{implementation}_k{k}_mw{mw}_mh{mh}_simd{simd}_pe{pe}",
        op_type="BinaryMvu",
        attrs={
            "MW": mw,
            "MH": mh,
            "SIMD": simd,
            "PE": pe,
            "numInputVectors": list(vectors),
            "inputDataType": f"UINT{k}",
            "outputDataType": accumulator,
            "implementation": implementation,
        },
        operands=(
            Operand("x", f"UINT{k}", (*vectors, mw), 0, most),
            Operand("w", "BINARY", (mw, mh), 0, 1, streamed=False),
        ),
        output_types=(accumulator,),
        initializers=weights,
        worst=worst,
    )


SMOKE = [
    _case(4, 72, 6, 36, 2, "serial"),  # two chunks of the popcount
    _case(8, 24, 6, 6, 3, "addsub"),
    _case(2, 18, 4, 9, 4, "serial"),  # PE = MH: no replay buffer
    _case(3, 20, 6, 20, 2, "addsub"),  # a vector is one word
]

FULL = [
    *(
        _case(k, 24, 6, simd, pe, implementation)
        for implementation in ("serial", "addsub")
        for k, simd, pe in (
            (1, 6, 2),
            (2, 24, 1),  # a vector is one word
            (3, 1, 3),
            (4, 24, 6),  # one word in, one word out
            (5, 8, 2),
            (6, 12, 1),
            (7, 3, 6),
            (8, 4, 1),
        )
    ),
    *(
        _case(k, mw, mh, simd, pe, implementation, vectors)
        for implementation in ("serial", "addsub")
        for k, mw, mh, simd, pe, vectors in (
            (8, 130, 2, 130, 1, (1, 2, 2)),  # five chunks: two tree levels
            (1, 1, 3, 1, 1, (1, 3, 3)),  # one input bit
            (8, 1, 3, 1, 1, (1, 3, 3)),
            (4, 96, 1, 32, 1, (1, 2, 2)),  # one output
            (4, 8, 80, 8, 1, (1, 2, 1)),  # more outputs than a memory of LUTs has words
        )
    ),
    _case(4, 144, 16, 36, 4, "auto"),
    _case(2, 576, 8, 24, 1, "auto", vectors=(1, 1, 1)),
    _case(8, 2304, 2, 64, 1, "auto", vectors=(1, 1, 1)),  # 256 * 9 inputs
]

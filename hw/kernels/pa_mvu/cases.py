# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of PaMvu: the three implementations, codebooks from (2, 1) to (14, 15) levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, accumulator_bounds, signed_bits
from ....sim.cases import Case, Operand


def _codebooks(m: int, n: int, linear: bool) -> tuple[IntArray, IntArray, int]:
    """Levels alpha and beta with the extremes of INT8 and UINT8 among them, and alpha's zero.

    An odd M stands for two weight levels that became one.
    """
    zero = (m + 1) // 2
    if linear:
        return np.arange(m + 1) - zero, np.arange(n + 1), zero
    rng = np.random.default_rng(100 * m + n)
    levels = 1 + rng.choice(125, m, replace=False)
    levels[0] = 127
    alpha = np.sort(np.concatenate([-levels[:zero], [0], levels[zero:]]))
    beta = np.concatenate([[0], np.sort(1 + rng.choice(253, n - 1, replace=False)), [255]])
    return alpha, beta, zero


def _case(
    mw: int,
    mh: int,
    simd: int,
    pe: int,
    implementation: str,
    levels: tuple[int, int] = (4, 5),
    vectors: tuple[int, ...] = (1, 2, 2),
    linear: bool = False,
) -> Case:
    m, n = levels
    alpha, beta, zero = _codebooks(m, n, linear)
    x_type = f"UINT{n.bit_length()}"
    w_type = f"INT{max(zero - 1, m - zero).bit_length() + 1}"
    alpha_type, beta_type = (w_type, x_type) if linear else ("INT8", "UINT8")

    def initializers(rng: np.random.Generator) -> list[IntArray]:
        w = rng.integers(-zero, m - zero, (mw, mh), dtype=np.int64, endpoint=True)
        w[:, 0] = int(alpha.argmax()) - zero
        w[:, -1] = int(alpha.argmin()) - zero
        return [w, alpha, beta]

    def worst(values: Sequence[IntArray]) -> list[list[IntArray]]:
        # The largest and the smallest sum of some output, per input vector; then constants.
        columns = values[0].T
        picked = np.stack([columns[i % mh] for i in range(math.prod(vectors))])
        frames = [np.where(picked > 0, n, 0), np.where(picked < 0, n, 0)]
        frames += [np.full_like(picked, code) for code in (0, 1, n)]
        return [[f.reshape(*vectors, mw)] for f in frames]

    weights = alpha[initializers(np.random.default_rng(1))[0] + zero]
    low, high = accumulator_bounds(weights, 0, int(beta[-1]))
    accumulator = f"INT{signed_bits(int(max(-low.min(), high.max())))}"
    return Case(
        name=f"{implementation}_m{m}_n{n}_mw{mw}_mh{mh}_simd{simd}_pe{pe}",
        op_type="PaMvu",
        attrs={
            "MW": mw,
            "MH": mh,
            "SIMD": simd,
            "PE": pe,
            "numInputVectors": list(vectors),
            "inputDataType": x_type,
            "weightDataType": w_type,
            "zero": zero,
            "alphaDataType": alpha_type,
            "betaDataType": beta_type,
            "outputDataType": accumulator,
            "implementation": implementation,
        },
        operands=(
            Operand("x", x_type, (*vectors, mw), 0, n),
            Operand("w", w_type, (mw, mh), -zero, m - zero, streamed=False),
            Operand("alpha", alpha_type, (m + 1,), int(alpha[0]), int(alpha[-1]), streamed=False),
            Operand("beta", beta_type, (n + 1,), 0, int(beta[-1]), streamed=False),
        ),
        output_types=(accumulator,),
        initializers=initializers,
        worst=worst,
    )


SMOKE = [
    _case(72, 6, 36, 2, "literal", levels=(4, 3)),  # two chunks of the popcount
    _case(24, 6, 8, 2, "coded", levels=(8, 7)),
    _case(18, 4, 9, 4, "planes", linear=True),  # PE = MH: no replay buffer
    _case(16, 6, 16, 2, "coded"),  # a vector is one word
]

FULL = [
    *(
        _case(24, 6, simd, pe, implementation, levels, linear=implementation == "planes")
        for implementation in ("literal", "coded", "planes")
        for levels, simd, pe in (
            ((2, 1), 6, 2),
            ((4, 5), 24, 1),  # a vector is one word
            ((8, 7), 1, 3),
            ((14, 15), 4, 1),
            ((3, 2), 24, 6),  # one word in, one word out
        )
    ),
    _case(64, 4, 64, 1, "coded"),
    _case(130, 2, 130, 1, "planes", linear=True),  # five chunks: two tree levels
    _case(130, 2, 65, 1, "literal"),
    _case(144, 16, 36, 4, "auto"),
    _case(144, 16, 36, 4, "auto", linear=True),
    _case(576, 8, 24, 1, "literal", vectors=(1, 1, 1)),  # 24 * 24 inputs, slow
    _case(1, 3, 1, 1, "coded"),  # one input
    _case(1, 3, 1, 1, "literal", levels=(2, 1)),
    _case(1, 3, 1, 1, "planes", levels=(2, 1), linear=True),
    _case(32, 1, 8, 1, "planes", linear=True),  # one output
]

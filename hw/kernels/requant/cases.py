# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of requant: factors that LUTs, one and two DSP blocks multiply."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....quant.digits import DIGIT_TYPE
from ....quant.grid import IntArray, limits, type_format
from ....sim.cases import Case, Operand
from .golden import FACTOR_DIGITS, SUMMAND_DIGITS, constants, params


def _case(
    source: str,
    target: str,
    factor_bits: int,
    summand_bits: int,
    shift: int,
    channels: int,
    pe: int,
    *,
    codes: tuple[int, int] | None = None,
    rows: int = 4,
) -> Case:
    low, high = limits(*type_format(source))
    first, last = codes or limits(*type_format(target))
    shape = (1, rows, 3, channels)

    def drawn(rng: np.random.Generator) -> list[IntArray]:
        def draw(most: int) -> IntArray:
            return rng.integers(-most - 1, most, channels, dtype=np.int64, endpoint=True)

        # Most inputs give codes between the limits, or a few beyond them.
        most = (1 << factor_bits - 1) - 1
        reach = (1 << summand_bits - 1) - 1
        factors = draw(min(most, (2 * (last - first) << shift) // (high - low)))
        middle = (first + last) << shift
        summands = ((middle - (low + high) * factors) // 2 + draw(1 << shift)).clip(-reach, reach)
        ends = [(most, reach), (-most - 1, -reach - 1), (1, -1), (0, last << shift), (-1, 0)]
        for c, (factor, summand) in enumerate(ends[: max(0, channels - 2)]):
            factors[c], summands[c] = factor, np.clip(summand, -reach - 1, reach)
        return [params(factors, summands)]

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        frames = [np.full(shape, v, dtype=np.int64) for v in (low, high)]
        factors, summands = constants(initializers[0])
        # Beside inputs where the code changes, at both ends.
        for code in (first, last - 4):
            at = (np.arange(rows * 3)[:, None] + code) * (1 << shift) - summands
            near = at // np.where(factors == 0, 1, factors)
            frames += [(near.reshape(shape) + d).clip(low, high) for d in (0, 1)]
        return [[f] for f in frames]

    return Case(
        name=f"{source.lower()}_m{factor_bits}_b{summand_bits}_s{shift}_c{channels}_pe{pe}"
        f"_{target.lower()}" + ("_limits" if codes else ""),
        op_type="Requant",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "numInputVectors": [1, rows, 3],
            "inputDataType": source,
            "outputDataType": target,
            "factorBits": factor_bits,
            "summandBits": summand_bits,
            "shift": shift,
            "first": first,
            "last": last,
        },
        operands=(
            Operand("x", source, shape, low, high),
            Operand("params", DIGIT_TYPE, (FACTOR_DIGITS + SUMMAND_DIGITS, channels), 0, 1, False),
        ),
        output_types=(target,),
        initializers=drawn,
        worst=worst,
    )


SMOKE = [
    _case("INT18", "UINT8", 17, 33, 24, 12, 2),
    _case("INT22", "UINT8", 31, 46, 39, 8, 1, rows=6),
    _case("UINT8", "INT8", 3, 10, 0, 6, 3, codes=(-100, 99)),
    _case("UINT16", "INT6", 21, 30, 24, 4, 4, codes=(-9, 31)),  # constants, the longer factor
    _case("INT24", "UINT4", 30, 40, 36, 1024, 1, rows=1),  # in block RAM
]

FULL = [
    _case("INT25", "INT8", 18, 44, 34, 8, 2),
    _case("INT12", "UINT8", 25, 36, 28, 8, 4),
    _case("INT24", "UINT8", 35, 52, 44, 8, 2, rows=8),
    _case("INT9", "UINT2", 5, 14, 10, 12, 6),
    _case("INT5", "INT8", 12, 14, 4, 6, 1),
    _case("UINT24", "INT4", 26, 48, 40, 6, 2),
]

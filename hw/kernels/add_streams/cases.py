# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of add_streams."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from ....quant.grid import IntArray, limits, smallest_signed, smallest_unsigned, type_format
from ....sim.cases import Case, Operand


def _case(terms: Sequence[tuple[int, str]], channels: int, pe: int, rows: int) -> Case:
    shape = (1, rows, 3, channels)
    factors, types = zip(*terms, strict=True)
    ranges = [limits(*type_format(t)) for t in types]
    ends = [sorted(f * end for end in r) for f, r in zip(factors, ranges, strict=True)]
    low, high = (sum(pair[end] for pair in ends) for end in (0, 1))
    target = smallest_signed(low, high) if low < 0 else smallest_unsigned(high)

    def worst(_: Sequence[IntArray]) -> list[list[IntArray]]:
        return [
            [np.full(shape, value, dtype=np.int64) for value in corner]
            for corner in product(*ranges)
        ]

    return Case(
        name="_".join(
            f"{factor}x{datatype.lower()}".replace("-", "minus") for factor, datatype in terms
        )
        + f"_pe{pe}",
        op_type="AddStreams",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "numInputVectors": [1, rows, 3],
            "inputDataTypes": list(types),
            "factors": list(factors),
            "outputDataType": target,
        },
        operands=tuple(
            Operand(f"x{i}", datatype, shape, *bounds)
            for i, (datatype, bounds) in enumerate(zip(types, ranges, strict=True))
        ),
        output_types=(target,),
        worst=worst,
    )


SMOKE = [
    _case([(1, "UINT4"), (1, "UINT4")], 6, 2, 4),
    _case([(5, "UINT4"), (3, "INT4")], 4, 4, 5),
    _case([(1, "INT8"), (4, "UINT2"), (7, "INT5")], 6, 3, 4),
    _case([(3, "UINT4")], 6, 2, 4),
    _case([(1, "UINT4"), (-1, "UINT4")], 6, 2, 4),
    _case([(-6, "INT4"), (5, "UINT3")], 4, 2, 4),
    _case([(-1, "UINT4")], 6, 2, 4),
]

FULL = [
    _case([(1, "INT4"), (1, "INT4")], 8, 8, 4),
    _case([(1, "INT8"), (1, "INT8")], 4, 1, 4),
    _case([(1, "UINT4"), (1, "INT4")], 8, 4, 4),
    _case([(4, "UINT3"), (1, "UINT3")], 6, 6, 3),
    _case([(11, "INT4"), (6, "INT4")], 4, 2, 4),
    _case([(23, "UINT8"), (45, "UINT8")], 4, 4, 4),
    _case([(65535, "INT8"), (43691, "INT8")], 4, 2, 4),
    _case([(1, "INT4"), (1, "INT4"), (1, "INT4")], 4, 4, 4),
    _case([(1, "UINT8"), (2, "INT8"), (3, "UINT4"), (1, "INT2")], 4, 2, 4),
    _case([(1, "INT17"), (1, "INT17")], 6, 3, 3),
    _case([(-65535, "INT8"), (-1, "INT8")], 4, 2, 4),
]

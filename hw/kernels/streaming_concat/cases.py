# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of streaming_concat."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, channels: tuple[int, ...], simd: int, vectors: tuple[int, ...]) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_{'_'.join(map(str, channels))}_simd{simd}",
        op_type="StreamingConcat",
        attrs={
            "SIMD": simd,
            "ChannelsPerStream": list(channels),
            "inputDataTypes": [datatype] * len(channels),
            "numInputVectors": list(vectors),
        },
        operands=tuple(
            Operand(f"x{i}", datatype, (*vectors, c), low, high) for i, c in enumerate(channels)
        ),
        output_types=(datatype,),
    )


SMOKE = [
    _case("UINT4", (6, 4), 2, (1, 4, 4)),
    _case("INT8", (1, 3, 2), 1, (1, 3, 3)),
]

FULL = [
    _case("UINT4", (16, 16), 16, (1, 4, 5)),
    _case("UINT8", (32, 32), 1, (1, 2, 2)),
    _case("BINARY", (3, 9), 3, (1, 5, 4)),
    _case("UINT2", (4, 8), 4, (1, 6, 6)),
    _case("INT5", (2, 4, 6, 8), 2, (1, 3, 3)),
    _case("INT8", (20, 10), 5, (7,)),
]

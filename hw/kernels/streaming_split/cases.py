# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of streaming_split."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, channels: tuple[int, ...], simd: int, vectors: tuple[int, ...]) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_{'_'.join(map(str, channels))}_simd{simd}",
        op_type="StreamingSplit",
        attrs={
            "SIMD": simd,
            "ChannelsPerStream": list(channels),
            "inputDataType": datatype,
            "numInputVectors": list(vectors),
        },
        operands=(Operand("x", datatype, (*vectors, sum(channels)), low, high),),
        output_types=(datatype,) * len(channels),
    )


SMOKE = [
    _case("INT8", (6, 6), 2, (1, 4, 4)),
    _case("UINT4", (1, 3, 2), 1, (1, 3, 3)),
]

FULL = [
    _case("INT8", (24, 24), 24, (1, 5, 5)),
    _case("INT8", (48, 48), 1, (1, 2, 2)),
    _case("BINARY", (9, 3), 3, (1, 5, 4)),
    _case("INT5", (2, 4, 6, 8), 2, (1, 3, 3)),
    _case("INT8", (10, 20), 5, (7,)),
]

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of shuffle_concat."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, channels: int, pe: int, vectors: tuple[int, ...]) -> Case:
    low, high = limits(*type_format(datatype))
    shape = (*vectors, channels)
    return Case(
        name=f"{datatype.lower()}_c{channels}_pe{pe}",
        op_type="ShuffleConcat",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "inputDataType": datatype,
            "numInputVectors": list(vectors),
        },
        operands=(
            Operand("left", datatype, shape, low, high),
            Operand("right", datatype, shape, low, high),
        ),
        output_types=(datatype,),
    )


SMOKE = [
    _case("INT8", 6, 3, (1, 4, 4)),
    _case("UINT3", 4, 1, (1, 3, 3)),
]

FULL = [
    _case("INT8", 24, 24, (1, 4, 5)),
    _case("INT8", 48, 2, (1, 2, 2)),
    _case("BINARY", 10, 5, (1, 4, 4)),
    _case("BINARY", 1, 1, (1, 6, 6)),
    _case("INT14", 9, 3, (8,)),
]

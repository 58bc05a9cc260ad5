# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of duplicate_streams."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, outputs: int, channels: int, pe: int, vectors: tuple[int, ...]) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_x{outputs}_c{channels}_pe{pe}",
        op_type="DuplicateStreams",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "NumOutputStreams": outputs,
            "inputDataType": datatype,
            "numInputVectors": list(vectors),
        },
        operands=(Operand("x", datatype, (*vectors, channels), low, high),),
        output_types=(datatype,) * outputs,
    )


SMOKE = [
    _case("INT8", 2, 6, 2, (1, 4, 4)),
    _case("UINT4", 3, 5, 1, (1, 3, 3)),
]

FULL = [
    _case("BINARY", 2, 24, 24, (1, 5, 4)),
    _case("BINARY", 4, 3, 1, (1, 4, 4)),
    _case("INT8", 2, 48, 48, (1, 4, 4)),
    _case("INT14", 5, 4, 4, (1, 7, 3)),
    _case("UINT8", 2, 1, 1, (1, 8, 8)),
]

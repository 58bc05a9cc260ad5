# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of global_acc_pool."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, sums: str, channels: int, pe: int, height: int, width: int) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_{height}x{width}_c{channels}_pe{pe}",
        op_type="GlobalAccPool",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "inputDataType": datatype,
            "numInputVectors": [1, height, width],
        },
        operands=(Operand("x", datatype, (1, height, width, channels), low, high),),
        output_types=(sums,),
    )


SMOKE = [
    _case("INT8", "INT12", 6, 2, 4, 4),
    _case("UINT4", "UINT8", 5, 5, 3, 4),
    _case("INT4", "INT4", 8, 1, 1, 1),
    _case("INT9", "INT11", 768, 1, 2, 2),  # sums in block RAM
]

FULL = [
    _case("INT8", "INT14", 48, 1, 8, 8),
    _case("INT8", "INT13", 24, 24, 7, 3),
    _case("UINT8", "UINT14", 3, 1, 7, 7),
    _case("UINT8", "UINT12", 4, 1, 3, 3),
    _case("BINARY", "UINT5", 16, 4, 4, 4),
    _case("INT8", "INT15", 2, 1, 10, 11),
    _case("INT8", "INT8", 4, 2, 1, 1),
]

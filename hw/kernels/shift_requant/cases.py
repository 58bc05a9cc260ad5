# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of shift_requant."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(source: str, target: str, shift: int, channels: int, pe: int, rows: int) -> Case:
    low, high = limits(*type_format(source))
    return Case(
        name=f"{source.lower()}_to_{target.lower()}_shift{shift}_pe{pe}",
        op_type="ShiftRequant",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "numInputVectors": [1, rows, 2],
            "inputDataType": source,
            "outputDataType": target,
            "shift": shift,
        },
        operands=(Operand("x", source, (1, rows, 2, channels), low, high),),
        output_types=(target,),
    )


SMOKE = [
    _case("INT14", "INT8", 6, 12, 3, 5),
    _case("INT14", "INT8", 2, 6, 1, 5),
    _case("UINT12", "UINT5", 4, 4, 4, 9),
]

FULL = [
    _case("INT16", "INT8", 0, 4, 2, 8),
    _case("INT8", "INT8", 1, 6, 6, 8),
    _case("INT8", "INT4", 9, 4, 2, 16),
    _case("INT4", "INT12", 0, 4, 4, 8),
    _case("INT12", "UINT6", 3, 8, 4, 8),
    _case("UINT10", "INT8", 2, 8, 2, 8),
    _case("UINT8", "BINARY", 7, 8, 8, 8),
    _case("INT20", "INT8", 12, 24, 24, 8),
]

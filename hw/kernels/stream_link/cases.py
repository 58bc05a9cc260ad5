# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of stream_link."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, channels: int, lanes: int, pixels: int, half_rate: int) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_c{channels}_lanes{lanes}_{'half' if half_rate else 'full'}",
        op_type="StreamLink",
        attrs={
            "shape": [1, pixels, channels],
            "lanes": lanes,
            "dataType": datatype,
            "half_rate": half_rate,
        },
        operands=(Operand("x", datatype, (1, pixels, channels), low, high),),
        output_types=(datatype,),
    )


SMOKE = [_case("INT8", 6, 2, 12, 1), _case("UINT3", 5, 1, 12, 0)]

FULL = [_case("BINARY", 24, 24, 60, 1), _case("INT14", 8, 4, 60, 0)]

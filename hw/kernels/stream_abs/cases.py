# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of stream_abs."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, channels: int, pe: int) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_c{channels}_pe{pe}",
        op_type="StreamAbs",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "inputDataType": datatype,
            "outputDataType": f"U{datatype}",
            "numInputVectors": [1, 4, 4],
        },
        operands=(Operand("x", datatype, (1, 4, 4, channels), low, high),),
        output_types=(f"U{datatype}",),
    )


SMOKE = [_case("INT8", 6, 3), _case("INT3", 4, 1)]

FULL = [_case("INT4", 8, 1)]

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of stream_flatten."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, channels: int, pe: int, image: tuple[int, int]) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_{image[0]}x{image[1]}_c{channels}_pe{pe}",
        op_type="StreamFlatten",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "ImgDim": list(image),
            "inputDataType": datatype,
        },
        operands=(Operand("x", datatype, (1, *image, channels), low, high),),
        output_types=(datatype,),
    )


SMOKE = [
    _case("UINT4", 4, 2, (3, 5)),
    _case("BINARY", 1, 1, (4, 4)),
]

FULL = [
    _case("INT8", 6, 6, (7, 7)),
    _case("INT2", 12, 1, (2, 9)),
    _case("UINT8", 3, 3, (1, 6)),
    _case("BINARY", 16, 8, (5, 1)),
]

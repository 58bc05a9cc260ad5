# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of pixel_interleave."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, channels: int, pe: int, image: tuple[int, int]) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_{image[0]}x{image[1]}_c{channels}_pe{pe}",
        op_type="PixelInterleave",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "ImgDim": list(image),
            "inputDataType": datatype,
        },
        operands=(Operand("x", datatype, (1, *image, 4 * channels), low, high),),
        output_types=(datatype,),
    )


SMOKE = [
    _case("UINT4", 4, 2, (4, 5)),
    _case("INT12", 3, 1, (3, 4)),
    _case("INT9", 3, 1, (3, 2)),  # queues of 8 words
    _case("INT16", 8, 8, (2, 23)),  # queues in block RAM
]

FULL = [
    _case("UINT4", 8, 8, (8, 8)),
    _case("INT16", 2, 2, (1, 1)),
    _case("INT9", 5, 1, (4, 1)),
    _case("UINT2", 6, 3, (1, 7)),
    _case("BINARY", 8, 4, (3, 2)),
    _case("INT8", 16, 4, (2, 30)),
    _case("UINT8", 1, 1, (6, 3)),
]

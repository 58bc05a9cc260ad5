# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of stream_crop."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(
    datatype: str,
    channels: int,
    simd: int,
    image: tuple[int, int],
    crop: tuple[int, int, int, int],
) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=(
            f"{datatype.lower()}_{image[0]}x{image[1]}_{'_'.join(map(str, crop))}"
            f"_c{channels}_simd{simd}"
        ),
        op_type="StreamCrop",
        attrs={
            "NumChannels": channels,
            "SIMD": simd,
            "ImgDim": list(image),
            "Crop": list(crop),
            "inputDataType": datatype,
        },
        operands=(Operand("x", datatype, (1, *image, channels), low, high),),
        output_types=(datatype,),
    )


SMOKE = [
    _case("UINT4", 4, 2, (6, 7), (1, 2, 2, 1)),
    _case("INT10", 2, 2, (5, 8), (0, 3, 1, 0)),
]

FULL = [
    _case("UINT4", 6, 1, (5, 5), (0, 0, 0, 0)),
    _case("UINT8", 3, 3, (5, 5), (2, 2, 2, 2)),
    _case("BINARY", 8, 4, (4, 6), (3, 0, 0, 5)),
    _case("INT8", 1, 1, (9, 1), (1, 0, 0, 0)),
    _case("INT8", 2, 1, (1, 9), (0, 1, 0, 7)),
    _case("INT16", 16, 16, (16, 16), (4, 4, 4, 4)),
]

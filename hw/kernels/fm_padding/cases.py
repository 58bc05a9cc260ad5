# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of fm_padding: borders on all sides, on some, on none."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(
    datatype: str,
    channels: int,
    simd: int,
    image: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=(
            f"{datatype.lower()}_{image[0]}x{image[1]}_{'_'.join(map(str, padding))}"
            f"_c{channels}_simd{simd}"
        ),
        op_type="FMPadding",
        attrs={
            "ImgDim": list(image),
            "Padding": list(padding),
            "NumChannels": channels,
            "SIMD": simd,
            "inputDataType": datatype,
            "numInputVectors": 1,
        },
        operands=(Operand("x", datatype, (1, *image, channels), low, high),),
        output_types=(datatype,),
    )


SMOKE = [
    _case("BINARY", 6, 2, (5, 4), (1, 2, 3, 0)),
    _case("UINT8", 3, 3, (3, 5), (0, 1, 0, 1)),
]

FULL = [
    _case("UINT8", 2, 1, (4, 4), (0, 0, 0, 0)),
    _case("INT8", 4, 4, (1, 1), (1, 1, 1, 1)),
    _case("UINT4", 2, 2, (1, 6), (4, 0, 4, 0)),
    _case("UINT4", 2, 1, (6, 1), (0, 0, 1, 3)),
    _case("BINARY", 48, 16, (8, 8), (1, 1, 1, 1)),
    _case("BINARY", 24, 24, (16, 16), (2, 2, 2, 2)),
    _case("INT8", 1, 1, (32, 32), (4, 4, 4, 4)),
]

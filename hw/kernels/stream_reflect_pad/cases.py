# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of stream_reflect_pad."""

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
        op_type="StreamReflectPad",
        attrs={
            "NumChannels": channels,
            "SIMD": simd,
            "ImgDim": list(image),
            "Padding": list(padding),
            "inputDataType": datatype,
        },
        operands=(Operand("x", datatype, (1, *image, channels), low, high),),
        output_types=(datatype,),
    )


SMOKE = [
    _case("UINT8", 3, 1, (5, 6), (2, 1, 1, 3)),
    _case("UINT8", 1, 1, (6, 5), (1, 0, 2, 0)),
    _case("UINT4", 4, 4, (4, 7), (0, 2, 1, 1)),
    _case("UINT8", 3, 3, (5, 5), (4, 4, 4, 4)),  # borders as wide as they can be
    _case("UINT8", 12, 12, (4, 30), (2, 1, 2, 1)),  # lines in block RAM
    _case("INT4", 2, 1, (4, 3), (3, 2, 0, 0)),  # such borders on one side alone
    _case("INT4", 2, 1, (4, 5), (0, 1, 0, 2)),  # no mirrored rows
]

FULL = [
    _case("UINT8", 1, 1, (12, 12), (2, 2, 2, 2)),
    _case("UINT8", 2, 1, (5, 5), (0, 0, 0, 0)),
    _case("INT8", 2, 1, (1, 6), (0, 5, 0, 5)),
    _case("INT8", 4, 2, (6, 1), (5, 0, 3, 0)),
    _case("BINARY", 6, 3, (3, 4), (0, 0, 2, 1)),
    _case("UINT8", 3, 1, (5, 2), (1, 1, 0, 0)),
    _case("INT9", 1, 1, (1, 1), (0, 0, 0, 0)),
    _case("UINT8", 3, 3, (8, 50), (7, 6, 7, 6)),
    _case("UINT8", 1, 1, (9, 10), (3, 3, 4, 3)),
]

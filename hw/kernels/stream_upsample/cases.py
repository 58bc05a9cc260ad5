# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of stream_upsample."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(
    datatype: str,
    channels: int,
    pe: int,
    image: tuple[int, int],
    scale: tuple[int, int],
    phases: int = 0,
) -> Case:
    low, high = limits(*type_format(datatype))
    stored = channels * (scale[0] * scale[1] if phases else 1)
    return Case(
        name=(
            f"{datatype.lower()}_{image[0]}x{image[1]}_by_{scale[0]}x{scale[1]}_c{channels}_pe{pe}"
            f"{('', '_phases', '_outer')[phases]}"
        ),
        op_type="StreamUpsample",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "ImgDim": list(image),
            "Scale": list(scale),
            "phases": phases,
            "inputDataType": datatype,
        },
        operands=(Operand("x", datatype, (1, *image, stored), low, high),),
        output_types=(datatype,),
    )


SMOKE = [
    _case("UINT4", 4, 2, (3, 4), (2, 2)),
    _case("INT8", 3, 1, (2, 3), (3, 1)),
    _case("UINT2", 6, 2, (2, 5), (1, 3)),  # a pixel is held alone
    _case("INT16", 8, 8, (2, 45), (2, 2)),  # lines in block RAM
    _case("INT5", 3, 1, (2, 3), (2, 2), 1),
    _case("UINT4", 2, 2, (3, 2), (3, 2), 1),
    _case("INT12", 8, 2, (2, 20), (2, 2), 1),  # lines of phases in block RAM
    _case("UINT3", 2, 2, (2, 3), (3, 3), 2),
]

FULL = [
    _case("UINT4", 8, 8, (4, 6), (4, 4)),
    _case("INT16", 2, 2, (1, 1), (2, 2)),
    _case("INT9", 5, 1, (4, 1), (2, 1)),
    _case("BINARY", 8, 4, (3, 2), (2, 2)),
    _case("UINT8", 1, 1, (1, 7), (1, 2)),
    _case("INT8", 2, 1, (3, 3), (1, 2), 1),
    _case("INT8", 4, 4, (2, 2), (4, 4), 1),
    _case("BINARY", 1, 1, (2, 3), (2, 2), 1),
    _case("INT8", 3, 3, (2, 2), (1, 2), 2),
]

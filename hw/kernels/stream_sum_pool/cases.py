# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of stream_sum_pool."""

from __future__ import annotations

from ....quant.grid import limits, sums_type, type_format
from ....sim.cases import Case, Operand


def _case(
    datatype: str,
    channels: int,
    pe: int,
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Case:
    low, high = limits(*type_format(datatype))
    top, left, bottom, right = padding
    borders = (top + bottom, left + right)
    out = [
        (size + border - k) // s + 1
        for size, border, k, s in zip(image, borders, kernel, stride, strict=True)
    ]
    return Case(
        name=(
            f"{datatype.lower()}_{image[0]}x{image[1]}_k{kernel[0]}{kernel[1]}"
            f"_s{stride[0]}{stride[1]}_p{top}{left}{bottom}{right}_c{channels}_pe{pe}"
        ),
        op_type="StreamSumPool",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "ImgDim": list(image),
            "KernelDim": list(kernel),
            "Stride": list(stride),
            "Padding": list(padding),
            "OutDim": out,
            "inputDataType": datatype,
        },
        operands=(Operand("x", datatype, (1, *image, channels), low, high),),
        output_types=(sums_type(datatype, kernel[0] * kernel[1]),),
    )


SMOKE = [
    _case("UINT4", 6, 2, (6, 6), (2, 2), (2, 2)),
    _case("INT8", 4, 2, (8, 8), (3, 3), (2, 2), (1, 1, 1, 1)),
    _case("UINT8", 2, 2, (6, 7), (5, 5), (1, 1), (2, 2, 2, 2)),  # two drained windows
    _case("INT12", 68, 4, (3, 6), (3, 3), (1, 1)),  # sums in block RAM
    _case("UINT4", 2, 2, (4, 6), (3, 4), (1, 3), (1, 2, 2, 0)),  # nothing alike on both axes
    _case("UINT2", 3, 3, (1, 9), (1, 2), (1, 2)),  # a line
    _case("INT8", 2, 2, (5, 5), (1, 1), (2, 2)),  # every window is one pixel
]

FULL = [
    *(_case(f"UINT{k}", 6, 3, (8, 6), (2, 2), (2, 2)) for k in range(1, 9)),
    _case("BINARY", 6, 3, (8, 6), (2, 2), (2, 2)),
    _case("UINT8", 16, 16, (16, 16), (2, 2), (2, 2)),
    _case("UINT4", 64, 1, (4, 6), (2, 2), (2, 2)),
    _case("UINT8", 130, 10, (4, 20), (2, 2), (2, 2)),
    _case("INT4", 3, 3, (5, 7), (2, 2), (2, 2), (0, 0, 1, 1)),
    _case("INT8", 24, 24, (9, 9), (3, 3), (2, 2), (1, 1, 1, 1)),
    _case("UINT8", 3, 1, (7, 8), (3, 3), (2, 2), (1, 1, 0, 0)),
    _case("UINT4", 2, 1, (6, 9), (2, 3), (1, 2), (1, 0, 0, 1)),
    _case("UINT4", 2, 1, (5, 8), (3, 4), (1, 2), (1, 1, 2, 2)),
    _case("INT5", 1, 1, (1, 2), (4, 2), (1, 4), (3, 1, 3, 0)),  # less input than output
    _case("INT8", 4, 4, (10, 10), (5, 5), (2, 2), (2, 2, 2, 2)),
    _case("INT8", 2, 1, (9, 9), (2, 2), (3, 3)),
    _case("UINT8", 1, 1, (4, 4), (4, 4), (4, 4)),
    _case("INT6", 2, 2, (3, 4), (3, 3), (1, 1), (2, 2, 2, 2)),
    _case("INT8", 2, 1, (3, 3), (3, 3), (3, 3), (1, 1, 1, 1)),
    _case("UINT8", 8, 2, (1, 32), (1, 4), (1, 4)),
]

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of sliding_window: kernels, strides and dilations that are no squares, words of
part of a pixel, whole windows, frames that end in pixels no window needs."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand

Pair = tuple[int, int]


def _case(
    datatype: str,
    channels: int,
    simd: int,
    image: Pair,
    kernel: Pair,
    stride: Pair = (1, 1),
    *,
    dilation: Pair = (1, 1),
    parallel: bool = False,
    style: str = "auto",
) -> Case:
    low, high = limits(*type_format(datatype))
    axes = zip(image, kernel, stride, dilation, strict=True)
    out = [(n - (k - 1) * d - 1) // s + 1 for n, k, s, d in axes]
    return Case(
        name=(
            f"{datatype.lower()}_{image[0]}x{image[1]}_k{kernel[0]}x{kernel[1]}"
            f"_s{stride[0]}x{stride[1]}_d{dilation[0]}x{dilation[1]}_c{channels}_simd{simd}"
        )
        + ("_parallel" if parallel else "")
        + (f"_{style}" if style != "auto" else ""),
        op_type="ConvolutionInputGenerator",
        attrs={
            "ConvKernelDim": list(kernel),
            "Stride": list(stride),
            "Dilation": list(dilation),
            "IFMChannels": channels,
            "IFMDim": list(image),
            "OFMDim": out,
            "SIMD": simd,
            "parallel_window": int(parallel),
            "depthwise": 0,
            "is1D": 0,
            "inputDataType": datatype,
            "outputDataType": datatype,
            "ram_style": style,
        },
        operands=(Operand("x", datatype, (1, *image, channels), low, high),),
        output_types=(datatype,),
    )


SMOKE = [
    _case("BINARY", 24, 2, (4, 34), (3, 3)),  # of Bi-ShuffleNet, but for the rows
    _case("BINARY", 6, 3, (6, 7), (3, 3)),
    _case("UINT4", 2, 1, (9, 10), (3, 2), (2, 3), dilation=(1, 2)),
    _case("UINT8", 2, 2, (7, 8), (2, 3), (3, 1), dilation=(2, 1), style="block"),
    _case("BINARY", 12, 4, (8, 8), (5, 5), (2, 2)),
    _case("BINARY", 4, 4, (9, 8), (3, 3), (2, 1), parallel=True),
    _case("UINT8", 1, 1, (9, 9), (2, 3), (1, 2), dilation=(3, 2), parallel=True, style="block"),
]

FULL = [
    _case("BINARY", 4, 1, (12, 11), (3, 3)),
    _case("UINT8", 4, 4, (12, 11), (3, 3), (2, 2)),
    _case("UINT2", 4, 2, (5, 6), (1, 1), (2, 2)),
    _case("UINT2", 3, 3, (8, 4), (1, 1), (1, 3)),
    _case("UINT4", 4, 2, (6, 6), (2, 2), (2, 2)),
    _case("UINT4", 2, 2, (7, 7), (2, 2), (3, 3)),
    _case("INT8", 6, 2, (5, 4), (5, 4)),
    _case("INT8", 4, 2, (1, 9), (1, 4), (1, 2)),
    _case("INT8", 4, 4, (9, 1), (4, 1), (2, 1)),
    _case("UINT4", 2, 1, (11, 13), (3, 3), (1, 1), dilation=(2, 3)),
    _case("BINARY", 8, 8, (3, 40), (3, 3)),
    _case("UINT8", 2, 2, (40, 3), (3, 3), (3, 1)),
    _case("BINARY", 48, 16, (10, 10), (3, 3)),
    _case("UINT8", 8, 8, (30, 30), (3, 3), style="distributed"),
    _case("UINT8", 8, 8, (36, 36), (3, 3)),
    _case("BINARY", 4, 4, (12, 11), (5, 5), parallel=True),
    _case("UINT8", 4, 4, (21, 20), (9, 9), (2, 2), parallel=True),
    _case("UINT8", 3, 3, (6, 1), (3, 1), parallel=True),
    _case("UINT8", 3, 3, (1, 6), (1, 3), (1, 2), parallel=True),
    _case("UINT8", 3, 3, (5, 4), (5, 4), parallel=True),
    _case("UINT2", 2, 2, (5, 6), (1, 1), (2, 2), parallel=True),
    _case("UINT8", 8, 8, (150, 130), (3, 3), parallel=True),
]

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of ImageConv: kernels, strides, borders, one and three channels, foldings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, limits
from ....sim.cases import Case, Operand


def _case(
    image: tuple[int, int],
    kernel: int,
    stride: int,
    padding: tuple[int, int, int, int],
    outputs: int,
    simd: int,
    pe: int,
    channels: int = 1,
    bits: int = 8,
    way: str = "single",
) -> Case:
    top, left, bottom, right = padding
    out = [
        (size + border - kernel) // stride + 1
        for size, border in zip(image, (top + bottom, left + right), strict=True)
    ]
    rows = kernel * kernel * channels
    low, high = limits(bits)
    accumulator = f"INT{(255 * rows * -low).bit_length() + 1}"
    shape = (1, *image, channels)

    def initializers(rng: np.random.Generator) -> list[IntArray]:
        w = rng.integers(low, high, (rows, outputs), dtype=np.int64, endpoint=True)
        w[:, 0] = low
        w[:, -1] = high
        if way == "paired":
            w[:, 1:] = np.maximum(w[:, 1:], low + 1)
        return [w]

    def worst(values: Sequence[IntArray]) -> list[list[IntArray]]:
        dark, bright = np.zeros(shape, dtype=np.int64), np.full(shape, 255, dtype=np.int64)
        return [[bright], [dark], [bright]]

    return Case(
        name=(
            f"{image[0]}x{image[1]}x{channels}_k{kernel}_s{stride}_p{top}{left}{bottom}{right}"
            f"_int{bits}_mh{outputs}_simd{simd}_pe{pe}_{way}"
        ),
        op_type="ImageConv",
        attrs={
            "ImgDim": list(image),
            "Channels": channels,
            "ColumnElements": kernel * channels,
            "Kernel": kernel,
            "Stride": stride,
            "Padding": list(padding),
            "OutDim": out,
            "MH": outputs,
            "SIMD": simd,
            "PE": pe,
            "weightDataType": f"INT{bits}",
            "outputDataType": accumulator,
            "implementation": way,
            "pairable": int(way == "paired"),
        },
        operands=(
            Operand("x", "UINT8", shape, 0, 255),
            Operand("w", f"INT{bits}", (rows, outputs), low, high, streamed=False),
        ),
        output_types=(accumulator,),
        initializers=initializers,
        worst=worst,
    )


SMOKE = [
    _case((10, 12), 5, 2, (2, 2, 2, 2), 6, 5, 3, way="paired"),  # three chunks, one output alone
    _case((10, 38), 5, 2, (2, 2, 2, 2), 6, 2, 6),  # two columns at once, the last of a row alone
    _case((5, 6), 3, 1, (1, 0, 2, 1), 4, 3, 4, channels=3, bits=4),
    _case((6, 8), 3, 3, (0, 0, 0, 0), 24, 1, 1, channels=3),  # weights in block RAM
]

FULL = [
    _case((16, 16), 9, 2, (4, 4, 4, 4), 24, 9, 8),
    _case((16, 16), 9, 2, (4, 4, 4, 4), 24, 9, 8, way="paired"),
    _case((16, 16), 9, 2, (4, 4, 4, 4), 24, 9, 24),  # three lanes
    _case((16, 16), 9, 2, (4, 4, 4, 4), 24, 3, 4),
    _case((16, 16), 9, 2, (4, 4, 4, 4), 24, 9, 4, bits=7, way="paired"),  # 8 rows and 1
    _case((5, 6), 3, 1, (1, 0, 2, 1), 4, 3, 4, channels=3, bits=4, way="paired"),
    _case((6, 8), 3, 3, (0, 0, 0, 0), 48, 3, 2, channels=3, way="paired"),  # in block RAM
    _case((7, 9), 7, 3, (3, 6, 3, 6), 6, 7, 2),
    _case((8, 8), 7, 2, (3, 3, 3, 3), 8, 21, 4, channels=3),
    _case((6, 2), 3, 1, (1, 1, 1, 1), 2, 3, 2),  # the narrowest picture
    _case((3, 4), 5, 1, (4, 4, 4, 4), 3, 5, 3, bits=2),  # less picture than window
    _case((9, 10), 2, 2, (0, 0, 0, 0), 3, 2, 1),
    _case((11, 13), 3, 3, (0, 0, 0, 0), 3, 3, 3),  # rows and columns that no window reaches
    _case((8, 70), 3, 2, (1, 1, 0, 0), 5, 9, 5, channels=3),
    _case((4, 700), 3, 1, (1, 1, 1, 1), 2, 3, 2, channels=2),  # rows in block RAM
    _case((6, 8), 3, 1, (1, 1, 1, 1), 48, 3, 1),
    _case((16, 16), 9, 2, (4, 4, 4, 4), 24, 6, 24, way="paired"),  # two columns at once
    _case((16, 16), 9, 2, (4, 4, 4, 4), 24, 18, 8, way="paired"),
    _case((16, 16), 9, 2, (4, 4, 4, 4), 24, 18, 24),  # a pass is shorter than the ring is ahead
    _case((7, 24), 7, 4, (3, 6, 3, 6), 6, 28, 3),  # four columns at once, one less to a window
    _case((7, 24), 6, 4, (3, 5, 3, 5), 6, 8, 6, channels=2),  # four, of which a window has half
    _case((9, 15), 3, 3, (0, 0, 0, 0), 4, 9, 1),  # three, which are a window
    _case((6, 90), 4, 2, (1, 1, 1, 1), 48, 8, 2),  # whole words, in block RAM
]

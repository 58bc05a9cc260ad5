# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of BinaryBlock: geometries, foldings, shortcuts, memories, planted extremes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray, limits
from ....sim.cases import Case, Operand


def _case(
    image: tuple[int, int],
    channels: tuple[int, int],
    lanes: tuple[int, int],
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (1, 1, 1, 1),
    shortcut: str = "none",
    *,
    in_bits: int = 8,
    out_bits: int = 8,
    shortcut_shift: int = 0,
    pre_shift: int = 0,
    slope_shift: int = 6,
    out_shift: int = 4,
    pre_bits: int = 14,
    **memories: str,
) -> Case:
    (height, width), (inputs, outputs) = image, channels
    top, left, bottom, right = padding
    out = (
        (height + top + bottom - kernel[0]) // stride[0] + 1,
        (width + left + right - kernel[1]) // stride[1] + 1,
    )
    mw = kernel[0] * kernel[1] * inputs
    low, high = limits(in_bits)
    out_low, out_high = limits(out_bits)
    pre_low, pre_high = limits(pre_bits)

    def constants(rng: np.random.Generator) -> list[IntArray]:
        def draw(low: int, high: int, *shape: int) -> IntArray:
            return rng.integers(low, high, shape, dtype=np.int64, endpoint=True)

        # Some channels always reach their threshold, some never.
        thresholds = draw(low // 2, high // 2, inputs, 1)
        thresholds[:4, 0] = np.array([low - 5, low, high, high + 1])[:inputs]
        weights = draw(0, 1, mw, outputs)
        weights[:, 0] = 1
        weights[:, -1] = 0
        reach = min(pre_high, 2 * out_high << out_shift)
        span = max(1, min(511, (reach << pre_shift) // mw))
        params = np.stack(
            [
                draw(-span, span, outputs),
                draw(-(reach << pre_shift) // 4, (reach << pre_shift) // 4, outputs),
                draw(-reach // 4, reach // 4, outputs),
                draw(-128, 127, outputs),
                draw(-reach // 4, reach // 4, outputs),
            ]
        )
        bias = (mw << 9) + (pre_high << pre_shift)
        corners = np.array(
            [
                [511, bias, pre_low, -128, pre_high],  # everything as high as it goes
                [-512, -bias, pre_high, 127, pre_low],  # everything as low as it goes
                [-1, 1 << max(0, pre_shift - 1), 1, -1, -1],  # ties of every shift
                [511, -bias, pre_high, -128, 0],  # the largest slope product
            ]
        ).T
        count = max(0, min(4, outputs - 2))
        params[:, :count] = corners[:, :count]
        return [thresholds, weights, params]

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        frames = []
        for x in (low, high):
            for s in (out_low, out_high) if shortcut == "stream" else (0,):
                frame = [np.full((1, *image, inputs), x, dtype=np.int64)]
                if shortcut == "stream":
                    frame.append(np.full((1, *out, outputs), s, dtype=np.int64))
                frames.append(frame)
        return frames

    operands = [Operand("x", f"INT{in_bits}", (1, *image, inputs), low, high)]
    if shortcut == "stream":
        operands.append(
            Operand("shortcut", f"INT{out_bits}", (1, *out, outputs), out_low, out_high)
        )
    operands += [
        Operand("thresholds", "INT17", (inputs, 1), low - 5, high + 1, streamed=False),
        Operand("weights", "BINARY", (mw, outputs), 0, 1, streamed=False),
        Operand("params", "INT25", (5, outputs), -(1 << 24), (1 << 24) - 1, streamed=False),
    ]
    attrs: dict[str, Any] = {
        "IFMChannels": inputs,
        "OFMChannels": outputs,
        "SIMD": lanes[0],
        "PE": lanes[1],
        "IFMDim": list(image),
        "OFMDim": list(out),
        "KernelDim": list(kernel),
        "Stride": list(stride),
        "Padding": list(padding),
        "shortcut": shortcut,
        "shortcutShift": shortcut_shift,
        "preShift": pre_shift,
        "slopeShift": slope_shift,
        "outShift": out_shift,
        "preBits": pre_bits,
        "inputDataType": f"INT{in_bits}",
        "outputDataType": f"INT{out_bits}",
        **memories,
    }
    return Case(
        name=f"{height}x{width}_c{inputs}_{outputs}_simd{lanes[0]}_pe{lanes[1]}"
        f"_k{kernel[0]}{kernel[1]}_s{stride[0]}{stride[1]}_p{top}{left}{bottom}{right}_{shortcut}"
        + "".join(f"_{key.removesuffix('_ram')}{value}" for key, value in memories.items()),
        op_type="BinaryBlock",
        attrs=attrs,
        operands=tuple(operands),
        output_types=(f"INT{out_bits}",),
        initializers=constants,
        worst=worst,
    )


POINT = ((1, 1), (1, 1), (0, 0, 0, 0))
"""Kernel, stride and padding of a 1x1 layer."""

SMOKE = [
    _case((5, 4), (10, 10), (5, 2), shortcut="own", shortcut_shift=4, pre_shift=3),
    # Borders of four widths, a window beyond the last pixel, strides, memories in block RAM.
    _case(
        (7, 5), (6, 4), (2, 1), (3, 5), (2, 3), (2, 1, 0, 3), "stream", shortcut_shift=2,
        pre_shift=2, rom="block", line_ram="block",
    ),
    # One pixel of one step: the epilogue decides.
    _case((2, 3), (26, 26), (26, 1), *POINT, "own", shortcut_shift=9, pre_shift=5,
          shortcut_ram="block"),
]  # fmt: skip

FULL = [
    _case((8, 8), (24, 24), (12, 1), shortcut="own", shortcut_shift=10, pre_shift=6),
    _case((4, 4), (24, 24), (24, 2), pre_shift=6, rom="lut"),
    _case((4, 4), (16, 8), (16, 8), pre_shift=6, rom="block"),
    # Constants in memories side by side.
    _case((1, 2), (96, 96), (32, 1), (5, 5), (1, 1), (2, 2, 2, 2), pre_shift=8),
    _case((9, 6), (8, 8), (8, 4), (5, 5), (2, 2), (2, 2, 2, 2), pre_shift=7),
    _case((6, 7), (6, 9), (3, 3), (7, 7), (3, 2), (3, 3, 3, 3), pre_shift=7),
    _case((6, 5), (8, 8), (4, 1), (5, 5), (1, 1), (2, 2, 2, 2), "own", pre_shift=3),
    _case((7, 9), (8, 8), (2, 1), (7, 7), (1, 1), (3, 3, 3, 3), "own", pre_shift=3, rom="block"),
    _case((1, 1), (6, 6), (6, 1), shortcut="own", pre_shift=2),
    _case((1, 7), (5, 5), (1, 1), shortcut="own", pre_shift=2),
    _case((7, 1), (5, 10), (5, 5), shortcut="stream", pre_shift=2),
    _case((2, 2), (4, 4), (2, 2), (3, 3), (1, 1), (2, 2, 2, 2), pre_shift=2),
    _case((1, 1), (1, 1), (1, 1), *POINT, "own", pre_shift=1),
    _case((1, 1), (3, 2), (3, 1), *POINT, pre_shift=1),
    _case((4, 4), (48, 48), (3, 1), *POINT, "own", shortcut_shift=9, pre_shift=5),
    _case((4, 4), (48, 24), (16, 3), *POINT, "stream", shortcut_shift=9, pre_shift=5),
    _case((4, 4), (8, 8), (4, 2), (1, 1), (2, 2), (0, 0, 0, 0), pre_shift=5),
    _case((7, 8), (8, 8), (4, 2), (1, 1), (3, 3), (0, 0, 0, 0), pre_shift=5),
    _case((6, 6), (8, 8), (4, 1), (3, 3), (1, 1), (0, 0, 0, 0), pre_shift=5),
    _case((8, 8), (4, 4), (4, 1), (3, 3), (2, 2), (1, 1, 1, 1), pre_shift=3),
    _case((8, 8), (4, 4), (4, 4), (3, 3), (2, 2), (0, 0, 1, 1), pre_shift=3, line_ram="block"),
    _case((8, 7), (4, 4), (2, 1), (3, 3), (3, 3), (1, 1, 1, 1), pre_shift=3),
    _case((5, 6), (96, 4), (96, 4), pre_shift=5),  # eight chunks, read-bound
    _case((4, 5), (50, 4), (50, 1), *POINT, pre_shift=3),  # five chunks: two levels
    _case((4, 3), (8, 8), (4, 1), shortcut="stream", in_bits=4, out_bits=6, pre_shift=1,
          slope_shift=4, out_shift=1, pre_bits=10),
    _case((4, 3), (8, 8), (4, 1), shortcut="own", in_bits=16, out_bits=16, slope_shift=0,
          out_shift=0, pre_bits=18),
    _case((4, 3), (8, 8), (4, 1), in_bits=2, out_bits=2, slope_shift=7, out_shift=7,
          shortcut="own"),
    _case((6, 8), (48, 48), (16, 1), shortcut="own", shortcut_shift=10, pre_shift=6,
          line_ram="block", shortcut_ram="lut"),
]  # fmt: skip

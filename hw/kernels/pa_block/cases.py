# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of PaBlock: geometries, foldings, ways to multiply, codebooks, shortcuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray, limits, signed_bits
from ....sim.cases import Case, Operand

FREE = ([-120, -54, 0, 53, 123], [0, 50, 100, 151, 202, 255], 2)
"""Levels alpha and beta of a trained layer with M = 4 and N = 5, and alpha's zero."""
MANY = ([-127, -90, -55, -21, 0, 20, 51, 88, 126], [0, 30, 66, 101, 140, 180, 219, 255], 4)
"""Levels with M = 8 and N = 7."""
LINEAR = ([-2, -1, 0, 1, 2], [0, 1, 2, 3], 2)
"""Levels that are their own codes."""


def _case(
    image: tuple[int, int],
    channels: tuple[int, int],
    lanes: tuple[int, int],
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (1, 1, 1, 1),
    shortcut: str = "none",
    implementation: str = "packed",
    levels: tuple[list[int], list[int], int] = FREE,
    *,
    in_bits: int = 8,
    out_bits: int = 8,
    shift: int = 8,
    shortcut_shift: int = 0,
    down: bool = False,
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
    alpha, beta, zero = np.array(levels[0]), np.array(levels[1]), levels[2]
    count = len(beta) - 1
    code_type = f"UINT{count.bit_length()}"
    weight_type = f"INT{max(zero - 1, len(alpha) - 1 - zero).bit_length() + 1}"
    largest = int(np.abs(alpha).max() * beta.max())
    sum_type = f"INT{signed_bits(mw * largest)}"

    def constants(rng: np.random.Generator) -> list[IntArray]:
        # Some steps lie below all inputs, some above.
        thresholds = np.sort(rng.integers(low // 2, high // 2, (inputs, count)), axis=1)
        thresholds[0, 0], thresholds[-1, -1] = low - 3, high + 1
        steps = np.ones((inputs, count), dtype=np.int64)
        base = np.zeros(inputs, dtype=np.int64)
        if down:
            steps[::2], base[::2] = -1, count
        weights = rng.integers(-zero, len(alpha) - zero, (mw, outputs), dtype=np.int64)
        weights[:, 0] = int(alpha.argmax()) - zero
        weights[:, -1] = int(alpha.argmin()) - zero
        return [thresholds.astype(np.int64), steps, base, weights, alpha, beta]

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        frames = []
        for x in (low, high):
            for s in (out_low, out_high) if shortcut == "stream" else (0,):
                frame = [np.full((1, *image, inputs), x, dtype=np.int64)]
                if shortcut == "stream":
                    frame.append(np.full((1, *out, outputs), s, dtype=np.int64))
                frames.append(frame)
        return frames

    def fixed(name: str, datatype: str, shape: tuple[int, ...], first: int, last: int) -> Operand:
        return Operand(name, datatype, shape, first, last, streamed=False)

    operands = [Operand("x", f"INT{in_bits}", (1, *image, inputs), low, high)]
    if shortcut == "stream":
        operands.append(
            Operand("shortcut", f"INT{out_bits}", (1, *out, outputs), out_low, out_high)
        )
    operands += [
        fixed("thresholds", "INT17", (inputs, count), low - 3, high + 1),
        fixed("steps", "BIPOLAR", (inputs, count), -1, 1),
        fixed("base", code_type, (inputs,), 0, count),
        fixed("weights", weight_type, (mw, outputs), -zero, len(alpha) - 1 - zero),
        fixed("alpha", "INT8", (len(alpha),), int(alpha[0]), int(alpha[-1])),
        fixed("beta", "UINT8", (len(beta),), 0, int(beta[-1])),
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
        "numSteps": count,
        "zero": zero,
        "shift": shift,
        "shortcut": shortcut,
        "shortcutShift": shortcut_shift,
        "inputDataType": f"INT{in_bits}",
        "codeDataType": code_type,
        "weightDataType": weight_type,
        "sumDataType": sum_type,
        "outputDataType": f"INT{out_bits}",
        "implementation": implementation,
        **memories,
    }
    return Case(
        name=f"{implementation}_{height}x{width}_c{inputs}_{outputs}_simd{lanes[0]}_pe{lanes[1]}"
        f"_m{len(alpha) - 1}_k{kernel[0]}{kernel[1]}_s{stride[0]}{stride[1]}"
        f"_p{top}{left}{bottom}{right}_{shortcut}"
        + "".join(f"_{key.removesuffix('_ram')}{value}" for key, value in memories.items()),
        op_type="PaBlock",
        attrs=attrs,
        operands=tuple(operands),
        output_types=(f"INT{out_bits}",),
        initializers=constants,
        worst=worst,
    )


POINT = ((1, 1), (1, 1), (0, 0, 0, 0))
"""Kernel, stride and padding of a 1x1 layer."""

SMOKE = [
    # Lanes that do not divide the outputs, two products in a cascade.
    _case((4, 7), (8, 8), (4, 3), shortcut="own", shift=11, shortcut_shift=11),
    # Borders of four widths, strides, steps up and down, memories in block RAM.
    _case((7, 5), (6, 4), (2, 1), (3, 5), (2, 3), (2, 1, 0, 3), "stream", "coded", MANY,
          shift=10, shortcut_shift=7, down=True, rom="block", line_ram="block"),
    # One pixel of one step: the sums decide.
    _case((2, 3), (4, 4), (4, 2), *POINT, "own", "planes", LINEAR, shift=2, shortcut_shift=3,
          shortcut_ram="block"),
]  # fmt: skip

FULL = [
    _case((8, 8), (16, 16), (8, 4), (3, 3), (1, 1), (1, 1, 1, 1), "own", "coded", shift=12,
          shortcut_shift=12),
    _case((8, 8), (16, 16), (4, 6), (3, 3), (1, 1), (1, 1, 1, 1), "own", "packed", shift=12,
          shortcut_shift=12),
    _case((6, 6), (8, 8), (8, 4), (3, 3), (1, 1), (1, 1, 1, 1), "own", "packed", MANY, shift=12,
          shortcut_shift=12),
    _case((6, 5), (8, 12), (4, 5), (3, 3), (2, 2), (1, 1, 1, 1), "stream", shift=12,
          shortcut_shift=12),
    _case((6, 5), (8, 12), (8, 12), *POINT, "stream", shift=9, shortcut_shift=9),
    _case((6, 5), (8, 12), (1, 1), (1, 1), (2, 2), (0, 0, 0, 0), shift=9),
    _case((4, 4), (16, 8), (16, 8), shift=9, rom="lut"),
    _case((4, 4), (6, 5), (3, 4), (3, 3), (1, 1), (1, 1, 1, 1), "none", "coded", down=True),
    _case((3, 4), (6, 6), (6, 1), (3, 3), (1, 1), (1, 1, 1, 1), "own", "planes", LINEAR, shift=1,
          shortcut_shift=0, down=True),
    _case((1, 1), (2, 2), (2, 2), *POINT, "own", shift=3, shortcut_shift=2),
    _case((1, 1), (1, 1), (1, 1), *POINT, shift=0, out_bits=16),
    _case((5, 6), (4, 4), (2, 2), (5, 5), (1, 1), (2, 2, 2, 2), "own", in_bits=4, out_bits=4,
          shift=10, shortcut_shift=12),
    _case((4, 3), (4, 8), (4, 8), (3, 3), (1, 1), (1, 1, 1, 1), "stream", in_bits=16, out_bits=12,
          shift=4, shortcut_shift=2, down=True),
    _case((6, 6), (8, 8), (2, 8), (3, 3), (1, 1), (0, 0, 0, 0), "none", shift=11),
    _case((8, 7), (4, 4), (2, 1), (3, 3), (3, 3), (1, 1, 1, 1), "none", "coded", shift=11),
]  # fmt: skip

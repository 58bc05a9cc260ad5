# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of KbitBlock: geometries, foldings, code widths, lanes of both ends, memories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray
from ....sim.cases import Case, Operand


def _case(
    image: tuple[int, int],
    channels: tuple[int, int],
    lanes: tuple[int, int],
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (1, 1, 1, 1),
    *,
    bits: int = 4,
    out_bits: int = 4,
    more: int = 0,
    **memories: str,
) -> Case:
    (height, width), (inputs, outputs) = image, channels
    top, left, bottom, right = padding
    out = (
        (height + top + bottom - kernel[0]) // stride[0] + 1,
        (width + left + right - kernel[1]) // stride[1] + 1,
    )
    mw, most = kernel[0] * kernel[1] * inputs, (1 << bits) - 1
    reach = mw * most
    levels = (1 << out_bits) - 1
    steps = levels + 2 * more

    def constants(rng: np.random.Generator) -> list[IntArray]:
        weights = rng.integers(0, 1, (mw, outputs), dtype=np.int64, endpoint=True)
        weights[:, 0] = 1
        weights[:, -1] = 0
        spread = max(2, int(1.5 * most * mw**0.5))
        thresholds = rng.integers(-spread, spread, (outputs, steps), endpoint=True)
        thresholds.sort(axis=1)
        directions = np.ones((outputs, steps), dtype=np.int64)
        # Steps of one kind down again: as many more than levels as go down.
        directions[:, levels : levels + more] = -1
        base = np.zeros(outputs, dtype=np.int64)
        for c in range(outputs):
            kind = c % 5
            if kind == 1:  # falls: gamma < 0
                directions[c], base[c] = -directions[c], levels
            elif kind == 2:  # ends of the sums: met always, by the largest alone, never
                thresholds[c, : steps // 3] = -reach
                thresholds[c, steps // 3 : steps // 2] = reach
                thresholds[c, steps // 2 :] = reach + 1
            elif kind == 3:  # all at once
                thresholds[c] = thresholds[c, 0]
            elif kind == 4:  # a start that no sum shows
                thresholds[c, 0], base[c] = -reach - 1, -1
        return [weights, thresholds, directions, base]

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        # The largest and the smallest sum of some output in every window's own place, constants.
        columns = initializers[0].T.reshape(outputs, *kernel, inputs)
        frames = []
        for c in range(min(outputs, 3)):
            tiles = (-(-height // kernel[0]), -(-width // kernel[1]), 1)
            picked = np.tile(columns[c], tiles)[:height, :width]
            frames += [most * picked, most * (1 - picked)]
        frames += [np.full((height, width, inputs), code) for code in (0, most)]
        return [[f[None].astype(np.int64)] for f in frames]

    acc = f"INT{reach.bit_length() + 1}"
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
        "inputDataType": f"UINT{bits}",
        "outputDataType": f"UINT{out_bits}",
        "accDataType": acc,
        "numSteps": steps,
        **memories,
    }
    return Case(
        name=f"{height}x{width}_c{inputs}_{outputs}_simd{lanes[0]}_pe{lanes[1]}"
        f"_k{kernel[0]}{kernel[1]}_s{stride[0]}{stride[1]}_p{top}{left}{bottom}{right}"
        f"_u{bits}_{out_bits}_n{steps}"
        + "".join(f"_{key.removesuffix('_ram')}{value}" for key, value in memories.items()),
        op_type="KbitBlock",
        attrs=attrs,
        operands=(
            Operand("x", f"UINT{bits}", (1, *image, inputs), 0, most),
            Operand("weights", "BINARY", (mw, outputs), 0, 1, streamed=False),
            Operand("thresholds", "INT32", (outputs, steps), -reach - 1, reach + 1, streamed=False),
            Operand("steps", "BIPOLAR", (outputs, steps), -1, 1, streamed=False),
            Operand("base", "INT16", (outputs,), -steps, steps, streamed=False),
        ),
        output_types=(f"UINT{out_bits}",),
        initializers=constants,
        worst=worst,
    )


POINT = ((1, 1), (1, 1), (0, 0, 0, 0))
"""Kernel, stride and padding of a 1x1 layer."""

SMOKE = [
    # Outputs left over in the last group.
    _case((5, 4), (6, 10), (3, 4)),
    # Borders of four widths, a window beyond the last pixel, strides, memories in block RAM.
    _case((7, 5), (4, 6), (2, 1), (3, 5), (2, 3), (2, 1, 0, 3), bits=3, out_bits=2,
          rom="block", line_ram="block"),
    # Groups of one step: several lanes at both ends, and sums that wait for those before them.
    _case((3, 3), (8, 10), (8, 4), *POINT, bits=2, out_bits=3, more=1),
    # Time enough for two searchers; above, for one.
    _case((3, 4), (6, 5), (6, 3), bits=2, out_bits=3, more=2),
]  # fmt: skip

FULL = [
    _case((8, 8), (16, 16), (16, 6)),
    _case((4, 4), (8, 12), (8, 5), *POINT),
    _case((3, 4), (6, 16), (6, 6), (1, 2), (1, 1), (0, 1, 0, 0)),
    _case((6, 6), (8, 16), (8, 2), more=2),
    _case((4, 4), (32, 64), (32, 4), rom="lut"),
    _case((9, 6), (8, 8), (8, 4), (5, 5), (2, 2), (2, 2, 2, 2), bits=2),
    _case((6, 7), (6, 9), (3, 3), (7, 7), (3, 2), (3, 3, 3, 3), bits=1, out_bits=1),
    _case((7, 9), (2, 3), (1, 1), (3, 3), (2, 2), (0, 0, 1, 1), bits=8, out_bits=5),
    _case((1, 1), (6, 6), (6, 1)),
    _case((1, 7), (5, 5), (1, 1)),
    _case((7, 1), (5, 10), (5, 5)),
    _case((2, 2), (4, 4), (2, 2), (3, 3), (1, 1), (2, 2, 2, 2)),
    _case((1, 1), (1, 1), (1, 1), *POINT, bits=1, out_bits=1),
    _case((4, 4), (16, 32), (16, 16), *POINT),
    _case((4, 4), (24, 12), (4, 3), *POINT, bits=6, out_bits=6),
    _case((7, 8), (8, 8), (4, 2), (1, 1), (3, 3), (0, 0, 0, 0)),
    _case((6, 6), (8, 8), (4, 1), (3, 3), (1, 1), (0, 0, 0, 0)),
    _case((8, 8), (4, 4), (4, 4), (3, 3), (2, 2), (0, 0, 1, 1), line_ram="block"),
    _case((8, 7), (4, 4), (2, 1), (3, 3), (3, 3), (1, 1, 1, 1)),
]  # fmt: skip

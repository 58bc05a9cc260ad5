# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of Epilogue: the shipped format and its corners; planted ties and saturations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, limits
from ....sim.cases import Case, Operand


def _case(
    channels: int,
    pe: int,
    vectors: tuple[int, ...],
    acc_bits_in: int,
    *,
    shortcut: bool,
    acc_shift: int = 0,
    shortcut_shift: int = 0,
    pre_shift: int = 0,
    slope_shift: int = 6,
    out_shift: int = 4,
    acc_bits: int = 16,
    pre_bits: int = 14,
    out_bits: int = 8,
    way: str = "pipelined",
) -> Case:
    acc_low, acc_high = limits(acc_bits_in)
    factor_high = limits(acc_bits)[1] if acc_shift else acc_high
    pre_low, pre_high = limits(pre_bits)
    out_low, out_high = limits(out_bits)
    # A bias as large as product and pre-activation: some channels always saturate.
    bias = min(factor_high * 511 + (pre_high << pre_shift), (1 << 24) - 1)

    def params(rng: np.random.Generator) -> list[IntArray]:
        def draw(low: int, high: int) -> IntArray:
            return rng.integers(low, high, channels, dtype=np.int64, endpoint=True)

        # Most values land within the output or a little beyond it; all of them saturating would
        # test nothing else.
        reach = min(pre_high, 2 * out_high << out_shift)
        span = max(1, min(511, (reach << pre_shift) // max(1, factor_high)))
        rows = np.stack(
            [
                draw(-span, span),
                draw(-(reach << pre_shift) // 4, (reach << pre_shift) // 4),
                draw(-reach // 4, reach // 4),
                draw(-128, 127),
                draw(-reach // 4, reach // 4),
            ]
        )
        rows[1] = np.clip(rows[1], -bias, bias)
        corners = np.array(
            [
                [511, bias, pre_low, -128, pre_high],  # everything as high as it goes
                [-511, -bias, pre_high, 127, pre_low],  # everything as low as it goes
                [-1, 1 << max(0, pre_shift - 1), 1, -1, -1],  # ties of every shift
                [511, -bias, pre_high, -128, 0],  # the largest slope product
                [1, 0, 0, 1, 0],
            ]
        ).T
        count = min(5, channels - 2)
        rows[:, :count] = corners[:, :count]
        return [rows]

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        shape = (*vectors, channels)
        frames: list[list[IntArray]] = []
        for a in (acc_low, -1, 0, acc_high):
            for s in (out_low, out_high) if shortcut else (0,):
                acc = np.full(shape, a, dtype=np.int64)
                frames.append([acc, np.full(shape, s, dtype=np.int64)] if shortcut else [acc])
        return frames

    operands = [Operand("acc", f"INT{acc_bits_in}", (*vectors, channels), acc_low, acc_high)]
    if shortcut:
        operands.append(
            Operand("shortcut", f"INT{out_bits}", (*vectors, channels), out_low, out_high)
        )
    operands.append(Operand("params", "INT25", (5, channels), -bias, bias, streamed=False))
    return Case(
        name=("" if way == "pipelined" else f"{way}_")
        + f"c{channels}_pe{pe}_acc{acc_bits_in}_a{acc_shift}_k{shortcut_shift}_g{pre_shift}"
        f"_s{slope_shift}_r{out_shift}" + ("_shortcut" if shortcut else ""),
        op_type="Epilogue",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "numInputVectors": list(vectors),
            "accDataType": f"INT{acc_bits_in}",
            "hasShortcut": int(shortcut),
            "accShift": acc_shift,
            "shortcutShift": shortcut_shift,
            "preShift": pre_shift,
            "slopeShift": slope_shift,
            "outShift": out_shift,
            "accBits": acc_bits,
            "preBits": pre_bits,
            "outputDataType": f"INT{out_bits}",
            "implementation": way,
        },
        operands=tuple(operands),
        output_types=(f"INT{out_bits}",),
        initializers=params,
        worst=worst,
    )


SMOKE = [
    _case(24, 3, (1, 3, 2), 9, shortcut=True, shortcut_shift=7, pre_shift=3),
    _case(12, 2, (1, 3, 3), 23, shortcut=False, acc_shift=7, pre_shift=5),
    _case(5, 5, (1, 4, 3), 12, shortcut=True, shortcut_shift=4),  # no rounding before t
    # The rounded accumulator is narrower than its saturation.
    _case(8, 2, (1, 4, 4), 12, shortcut=True, acc_shift=2, shortcut_shift=3, pre_shift=2),
    # The half lies inside the shortcut.
    _case(8, 4, (1, 4, 4), 9, shortcut=True, shortcut_shift=2, pre_shift=3, out_bits=4),
    # On one DSP block: a published layer, an 8-bit one in two lanes, and one whose accumulators
    # saturate.
    _case(6, 1, (1, 3, 2), 9, shortcut=True, shortcut_shift=7, pre_shift=3, way="serial"),
    _case(
        8,
        2,
        (1, 2, 2),
        23,
        shortcut=True,
        acc_shift=7,
        shortcut_shift=9,
        pre_shift=5,
        way="serial",
    ),
    _case(5, 1, (1, 3, 2), 12, shortcut=False, acc_shift=2, acc_bits=9, pre_shift=2, way="serial"),
    # Parameters in block RAM.
    _case(256, 1, (1, 2), 16, shortcut=False, acc_shift=5, pre_shift=6, way="serial"),
    # In three banks of it.
    _case(420, 1, (1, 2), 16, shortcut=False, acc_shift=5, pre_shift=6, way="serial"),
]

FULL = [
    _case(8, 1, (1, 4, 4), 10, shortcut=True, shortcut_shift=9, pre_shift=5),
    _case(48, 48, (1, 2, 2), 10, shortcut=True, shortcut_shift=8, pre_shift=4),
    _case(8, 2, (1, 4, 4), 10, shortcut=False, pre_shift=6),
    _case(8, 2, (1, 4, 4), 4, shortcut=False, pre_shift=0),
    _case(8, 2, (1, 4, 4), 24, shortcut=False, acc_shift=8, acc_bits=14, pre_shift=6),
    _case(8, 2, (1, 4, 4), 12, shortcut=False, acc_shift=9, acc_bits=3),
    _case(8, 4, (1, 4, 4), 9, shortcut=True, shortcut_shift=16, pre_shift=16),
    _case(8, 4, (1, 4, 4), 9, shortcut=True, shortcut_shift=0, pre_shift=1, slope_shift=0),
    _case(8, 4, (1, 4, 4), 9, shortcut=False, pre_shift=3, slope_shift=7, out_shift=0),
    _case(8, 4, (1, 4, 4), 9, shortcut=False, pre_shift=3, out_shift=7, pre_bits=16),
    # The ends of what fits one DSP block, and shifts of 0.
    *(
        _case(*sizes, **shifts, way="serial")
        for sizes, shifts in (
            ((8, 1, (1, 2, 2), 16), {"shortcut": True, "shortcut_shift": 16, "pre_shift": 8}),
            ((6, 3, (1, 2, 2), 9), {"shortcut": True}),
            ((6, 1, (1, 2, 2), 4), {"shortcut": False, "slope_shift": 0, "out_shift": 0}),
            ((6, 1, (1, 2, 2), 24), {"shortcut": False, "acc_shift": 8, "pre_shift": 8}),
            ((6, 1, (1, 2, 2), 9), {"shortcut": True, "pre_bits": 18, "pre_shift": 1}),
            ((6, 2, (1, 2, 2), 12), {"shortcut": True, "shortcut_shift": 2, "out_bits": 16}),
        )
    ),
]

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of SharedEngine: units, layers, foldings, memories, planted extremes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray, limits
from ....sim.cases import Case, Operand


def _case(
    image: tuple[int, int],
    channels: int,
    units: int,
    kernels: tuple[int, ...],
    lanes: tuple[int, int],
    pre: tuple[int, ...],
    *,
    ahead: int = 1,
    bits: int = 8,
    slope_shift: int = 6,
    out_shift: int = 4,
    pre_bits: int = 14,
    **memories: str,
) -> Case:
    """``pre`` are the shifts of the first unit's layers, those of the next units are one more each;
    ``ahead`` is how much more shortcuts are shifted."""
    shifts = [shift + unit for unit in range(units) for shift in pre]
    low, high = limits(bits)
    pre_low, pre_high = limits(pre_bits)
    layers = [(k * k * channels, s) for k, s in zip(kernels * units, shifts, strict=True)]

    def constants(rng: np.random.Generator) -> list[IntArray]:
        def draw(low: int, high: int, *shape: int) -> IntArray:
            return rng.integers(low, high, shape, dtype=np.int64, endpoint=True)

        found = []
        for number, (inputs, shift) in enumerate(layers):
            # Some channels always reach their threshold, some never.
            thresholds = draw(low // 2, high // 2, channels, 1)
            thresholds[:4, 0] = np.array([low - 5, low, high, high + 1])[:channels]
            weights = draw(0, 1, inputs, channels)
            weights[:, 0] = 1
            weights[:, -1] = 0
            reach = min(pre_high, 2 * high << out_shift)
            span = max(1, min(511, (reach << shift) // inputs))
            params = np.stack(
                [
                    draw(-span, span, channels),
                    draw(-(reach << shift) // 4, (reach << shift) // 4, channels),
                    draw(-reach // 4, reach // 4, channels),
                    draw(-128, 127, channels),
                    draw(-reach // 4, reach // 4, channels),
                ]
            )
            bias = (inputs << 9) + (pre_high << shift)
            corners = np.array(
                [
                    [511, bias, pre_low, -128, pre_high],  # everything as high as it goes
                    [-512, -bias, pre_high, 127, pre_low],  # everything as low as it goes
                    [-1, 1 << max(0, shift - 1), 1, -1, -1],  # ties of every shift
                    [511, -bias, pre_high, -128, 0],  # the largest slope product
                ]
            ).T
            # In places of their own in each layer, so that others stay in the middle.
            for i in range(max(0, min(4, channels - 3))):
                params[:, (i + number) % channels] = corners[:, i]
            found += [thresholds, weights, params]
        return found

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        shape = (1, *image, 2 * channels)
        return [[np.full(shape, x, dtype=np.int64)] for x in (low, high)]

    operands = [Operand("x", f"INT{bits}", (1, *image, 2 * channels), low, high)]
    for number, (inputs, _) in enumerate(layers):
        operands += [
            Operand(f"thresholds{number}", "INT17", (channels, 1), low - 5, high + 1, False),
            Operand(f"weights{number}", "BINARY", (inputs, channels), 0, 1, False),
            Operand(f"params{number}", "INT25", (5, channels), -(1 << 24), (1 << 24) - 1, False),
        ]
    attrs: dict[str, Any] = {
        "NumChannels": channels,
        "SIMD": lanes[0],
        "PE": lanes[1],
        "IFMDim": list(image),
        "Units": units,
        "Kernels": list(kernels),
        "preShifts": shifts,
        "shortcutShifts": [shift + ahead for shift in shifts],
        "slopeShift": slope_shift,
        "outShift": out_shift,
        "preBits": pre_bits,
        "inputDataType": f"INT{bits}",
        **memories,
    }
    return Case(
        name=f"{image[0]}x{image[1]}_c{channels}_u{units}_k{''.join(map(str, kernels))}"
        f"_simd{lanes[0]}_pe{lanes[1]}"
        + "".join(f"_{key.partition('_')[0]}{value}" for key, value in memories.items()),
        op_type="SharedEngine",
        attrs=attrs,
        operands=tuple(operands),
        output_types=(f"INT{bits}",),
        initializers=constants,
        worst=worst,
    )


SMOKE = [
    _case((4, 4), 8, 2, (1, 3, 3, 1), (8, 2), (4, 5, 5, 4), ahead=4),
    # More outputs at once than steps, groups of bits, an odd number of channels, one wide layer.
    _case((3, 7), 9, 3, (3, 1), (3, 9), (3, 5), line_ram="block", param_rom="lut"),
    # One pixel: everything around it is border; counts of several chunks.
    _case((1, 1), 26, 2, (5, 5), (26, 1), (4, 4), map_ram="block", weight_rom="block"),
]

FULL = [
    _case((4, 4), 24, 2, (1, 3, 3, 1), (24, 4), (4, 5, 5, 4), ahead=4, map_ram="block"),
    _case((2, 2), 48, 7, (1, 3, 3, 1), (48, 8), (0, 1, 1, 0), ahead=4),
    _case((2, 2), 96, 3, (1, 3, 3, 1), (96, 1), (3, 5, 5, 3), ahead=4, map_ram="block"),
    _case((2, 3), 2, 4, (1,), (1, 2), (2,)),
    _case((3, 3), 4, 1, (3,), (2, 1), (3,), line_ram="block", map_ram="lut", weight_rom="lut"),
    _case((6, 2), 5, 2, (5, 1, 5), (5, 5), (3, 1, 3), bits=4, out_shift=1, pre_bits=10),
    _case((2, 2), 60, 2, (1, 3), (60, 3), (4, 6), weight_rom="block", param_rom="block"),
    _case((3, 2), 6, 2, (3, 3), (6, 3), (0, 0), bits=16, slope_shift=0, out_shift=0, pre_bits=18),
]

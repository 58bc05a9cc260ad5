# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of signed_thresholding: rising, falling and mixed channels, thresholds at the
ends of the input type, unused thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, limits, type_format
from ....sim.cases import Case, Operand


def _case(
    steps: int,
    channels: int,
    pe: int,
    source: str = "INT8",
    *,
    encoding: str = "code",
    implementation: str = "parallel",
    signed: bool = False,
    threshold: str = "",
    rows: int = 4,
) -> Case:
    low, high = limits(*type_format(source))
    t_low, t_high = limits(*type_format(threshold or source))
    shape = (1, rows, 3, channels)
    code_bits = steps.bit_length() + signed
    target = f"{'INT' if signed else 'UINT'}{code_bits}"
    bottom = -steps if signed else 0

    def constants(rng: np.random.Generator) -> list[IntArray]:
        # Where the input type is wide, thresholds lie among the inputs of the random frames.
        reach = max(steps, min(high, 500))
        thresholds = rng.integers(
            max(t_low, -reach), min(t_high, reach), (channels, steps), endpoint=True
        )
        thresholds.sort(axis=1)
        directions = np.ones((channels, steps), dtype=np.int64)
        base = np.full(channels, bottom, dtype=np.int64)
        for c in range(channels):
            kind = c % 6
            if kind == 1:  # falls: gamma < 0
                directions[c], base[c] = -1, bottom + steps
            elif kind == 2:  # up and down again
                directions[c, steps // 2 :] = -1
                base[c] += steps - steps // 2
            elif kind == 3:  # constant: gamma = 0
                thresholds[c], base[c] = t_low, bottom
                directions[c, ::2] = -1
                base[c] -= int(directions[c].sum())
            elif kind == 4:  # thresholds at the ends: met always, or by the largest alone
                thresholds[c, : steps // 2] = t_low
                thresholds[c, steps // 2 :] = t_high
            elif kind == 5:  # all steps at once
                thresholds[c] = thresholds[c, 0]
        return [thresholds, directions, base]

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        thresholds = initializers[0]
        frames = [np.full(shape, v, dtype=np.int64) for v in (low, high)]
        # On a threshold and one below it, every threshold of the channel in turn.
        pixels = np.arange(rows * 3)
        exact = thresholds.T[pixels % steps].reshape(shape)
        frames += [exact.clip(low, high), (exact - 1).clip(low, high)]
        return [[f] for f in frames]

    base_bits = max(2, steps.bit_length() + 1)
    return Case(
        name=(f"{implementation}_" if implementation != "parallel" else "")
        + f"{source.lower()}_n{steps}_c{channels}_pe{pe}_{encoding}"
        + ("_signed" if signed else "")
        + (f"_t{threshold.lower()}" if threshold else ""),
        op_type="SignedThresholding",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "numSteps": steps,
            "numInputVectors": [1, rows, 3],
            "inputDataType": source,
            "weightDataType": threshold or source,
            "baseDataType": f"INT{base_bits}",
            "outputDataType": target if encoding == "code" else f"UINT{steps}",
            "encoding": encoding,
            "implementation": implementation,
        },
        operands=(
            Operand("x", source, shape, max(low, -600), min(high, 600)),
            Operand(
                "thresholds", threshold or source, (channels, steps), t_low, t_high, streamed=False
            ),
            Operand("steps", "BIPOLAR", (channels, steps), -1, 1, streamed=False),
            Operand("base", f"INT{base_bits}", (channels,), bottom, steps, streamed=False),
        ),
        output_types=(target if encoding == "code" else f"UINT{steps}",),
        initializers=constants,
        worst=worst,
    )


SMOKE = [
    _case(20, 12, 2, "INT16", implementation="search", rows=8),
    _case(7, 12, 3, "INT14", encoding="onehot"),
    _case(4, 6, 6, "UINT8", signed=True, threshold="INT10"),
    _case(16, 6, 3, "UINT12", encoding="thermometer", rows=8),
    _case(2, 12, 12, implementation="search", signed=True),  # one channel per lane
]

FULL = [
    _case(5, 12, 3),
    _case(1, 6, 1),
    _case(5, 16, 16),
    _case(5, 64, 4),
    _case(7, 24, 8, encoding="thermometer"),
    _case(15, 12, 2, "INT14"),
    _case(15, 6, 1, encoding="onehot"),
    _case(17, 6, 3, "INT4", rows=8),
    _case(255, 6, 1, rows=90),
    _case(3, 12, 12, "INT20", signed=True),
    _case(2, 1, 1, "UINT4"),
    *(
        _case(steps, 12, pe, source, implementation="search", signed=signed, rows=rows)
        for steps, pe, source, signed, rows in (
            (1, 6, "INT8", False, 4),
            (3, 3, "INT18", False, 4),
            (4, 1, "UINT8", True, 4),
            (15, 4, "INT12", False, 8),
            (20, 12, "INT24", True, 8),
            (255, 2, "INT16", False, 90),
            (327, 3, "INT21", False, 110),
        )
    ),
    _case(1, 1, 1, "UINT1", implementation="search"),
    _case(4, 6, 6, "UINT8", implementation="search", signed=True, threshold="INT10"),
    _case(15, 64, 4, "INT14", implementation="auto"),
    _case(255, 64, 1, "INT20", implementation="auto", rows=90),
]

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of thresholding: one threshold, several at once, several by a search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, limits, type_format
from ....sim.cases import Case, Operand


def _case(
    source: str,
    target: str,
    steps: int,
    channels: int,
    pe: int,
    *,
    first: int = 0,
    threshold: str = "",
    trigger: int = 0,
    uniform: bool = False,
    rows: int = 4,
) -> Case:
    low, high = limits(*type_format(source))
    t_low, t_high = limits(*type_format(threshold or source))
    shape, sets = (1, rows, 3, channels), 1 if uniform else channels

    def constants(rng: np.random.Generator) -> list[IntArray]:
        reach = max(steps, min(high, 500))
        values = rng.integers(max(t_low, -reach), min(t_high, reach), (sets, steps), endpoint=True)
        if sets > 1:  # reached always, and by the largest number alone or never
            values[0], values[1] = t_low, t_high
        return [np.sort(values, axis=1)]

    def worst(initializers: Sequence[IntArray]) -> list[list[IntArray]]:
        values = np.broadcast_to(initializers[0], (channels, steps))
        frames = [np.full(shape, v, dtype=np.int64) for v in (low, high)]
        # On a threshold and one below it, every threshold of the channel in turn.
        exact = values.T[np.arange(rows * 3) % steps].reshape(shape)
        frames += [exact.clip(low, high), (exact - 1).clip(low, high)]
        return [[f] for f in frames]

    return Case(
        name=f"{source.lower()}_n{steps}_c{channels}_pe{pe}_{target.lower()}"
        + (f"_t{threshold.lower()}" if threshold else "")
        + ("_block" if trigger else "")
        + ("_uniform" if uniform else ""),
        op_type="Thresholding",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "numSteps": steps,
            "inputDataType": source,
            "weightDataType": threshold or source,
            "outputDataType": target,
            "ActVal": first,
            "numInputVectors": [1, rows, 3],
            "depth_trigger_bram": trigger,
        },
        operands=(
            Operand("x", source, shape, max(low, -600), min(high, 600)),
            Operand("thresholds", threshold or source, (sets, steps), t_low, t_high, False),
        ),
        output_types=(target,),
        initializers=constants,
        worst=worst,
    )


SMOKE = [
    _case("INT8", "BINARY", 1, 6, 1, threshold="INT9"),
    _case("UINT8", "INT3", 1, 12, 4, first=-3, trigger=2),
    _case("INT8", "INT3", 3, 6, 3, first=-2, rows=6),
    _case("INT14", "INT5", 20, 12, 2, first=-10, rows=8),
]

FULL = [
    _case("INT8", "BINARY", 1, 24, 24),
    _case("INT8", "BINARY", 1, 96, 1),
    _case("UINT4", "BINARY", 1, 8, 2, threshold="UINT5"),
    _case("INT20", "BINARY", 1, 10, 5),
    _case("UINT8", "UINT3", 7, 4, 1, uniform=True),
    _case("INT12", "UINT4", 15, 16, 16),
    _case("INT16", "UINT8", 255, 6, 2, rows=90),
    _case("INT8", "INT2", 2, 6, 6, first=-1),
]

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of border_bias."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....quant.grid import IntArray, limits, smallest_signed, type_format
from ....sim.cases import Case, Operand


def _case(
    source: str,
    bias: str,
    shift: int,
    channels: int,
    pe: int,
    rows: Sequence[int],
    columns: Sequence[int],
    target: str = "",
) -> Case:
    shape = (1, sum(rows), sum(columns), channels)
    low, high = limits(*type_format(source))
    least, most = limits(*type_format(bias))
    saturates = bool(target)
    target = target or smallest_signed((low << shift) + least, (high << shift) + most)

    def constants(rng: np.random.Generator) -> list[IntArray]:
        # Both ends of the type, then any.
        table = rng.integers(least, most, (len(rows) * len(columns), channels), endpoint=True)
        table[0], table[-1] = most, least
        return [table]

    def worst(_: Sequence[IntArray]) -> list[list[IntArray]]:
        return [[np.full(shape, value, dtype=np.int64)] for value in (low, high)]

    runs = ("_".join(map(str, part)) for part in (rows, columns))
    return Case(
        name=f"{source.lower()}_shift{shift}_{bias.lower()}_c{channels}_pe{pe}_{'_by_'.join(runs)}"
        + (f"_{target.lower()}" if saturates else ""),
        op_type="BorderBias",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "ImgDim": [sum(rows), sum(columns)],
            "RowRuns": list(rows),
            "ColumnRuns": list(columns),
            "shift": shift,
            "saturates": int(saturates),
            "inputDataType": source,
            "biasDataType": bias,
            "outputDataType": target,
        },
        operands=(
            Operand("x", source, shape, low, high),
            Operand(
                "bias", bias, (len(rows) * len(columns), channels), least, most, streamed=False
            ),
        ),
        output_types=(target,),
        initializers=constants,
        worst=worst,
    )


SMOKE = [
    _case("INT12", "INT15", 4, 6, 2, (1, 3, 1), (1, 2, 1)),
    _case("INT8", "INT6", 0, 2, 2, (2, 2, 1), (4,)),
    _case("UINT6", "INT9", 2, 32, 1, (1, 1), (1, 2)),  # more words than a LUT holds
    _case("INT10", "INT11", 2, 4, 2, (1, 2), (2, 2), "INT9"),
    _case("INT4", "INT24", 3, 128, 1, (1, 1), (1, 1)),  # biases in block RAM
]

FULL = [
    _case("INT12", "INT15", 4, 6, 6, (4,), (1, 3)),
    _case("INT20", "INT23", 3, 32, 8, (1, 2, 1), (1, 2, 1)),
    _case("INT4", "INT16", 5, 3, 1, (3, 1), (1, 1, 1, 1)),
    _case("INT17", "INT4", 1, 4, 4, (1, 1), (7, 1)),
    _case("UINT8", "INT20", 1, 4, 4, (1, 3), (3,), "INT12"),
    _case("INT14", "INT18", 4, 128, 2, (1, 1, 1), (1, 2, 1)),
]

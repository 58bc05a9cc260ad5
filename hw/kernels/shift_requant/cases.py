# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of shift_requant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from ....quant.grid import IntArray, limits, type_format
from ....sim.cases import Case, Operand


def _case(
    source: str,
    target: str,
    shift: int,
    channels: int,
    pe: int,
    rows: int,
    shortcut: str = "",
    shortcut_shift: int = 0,
) -> Case:
    shape = (1, rows, 2, channels)
    types = [source, shortcut] if shortcut else [source]
    ranges = [limits(*type_format(t)) for t in types]

    def worst(_: Sequence[IntArray]) -> list[list[IntArray]]:
        return [
            [np.full(shape, value, dtype=np.int64) for value in corner]
            for corner in product(*ranges)
        ]

    return Case(
        name=f"{source.lower()}_to_{target.lower()}_shift{shift}_pe{pe}"
        + (f"_{shortcut.lower()}_k{shortcut_shift}" if shortcut else ""),
        op_type="ShiftRequant",
        attrs={
            "NumChannels": channels,
            "PE": pe,
            "numInputVectors": [1, rows, 2],
            "inputDataType": source,
            "outputDataType": target,
            "shift": shift,
            "hasShortcut": int(bool(shortcut)),
            "shortcutShift": shortcut_shift,
            "shortcutDataType": shortcut,
        },
        operands=tuple(
            Operand(name, datatype, shape, low, high)
            for name, datatype, (low, high) in zip(("x", "shortcut"), types, ranges, strict=False)
        ),
        output_types=(target,),
        worst=worst,
    )


SMOKE = [
    _case("INT14", "INT8", 6, 12, 3, 5),
    _case("UINT12", "UINT5", 4, 4, 4, 9),
    _case("INT17", "INT8", 9, 12, 4, 5, "INT8", 9),
    _case("INT16", "INT8", 8, 6, 2, 6, "INT8", 3),  # the half lies inside the shortcut
    _case("INT12", "UINT8", 5, 6, 3, 6, "UINT8", 5),
    _case("INT6", "INT16", 1, 4, 4, 8, "INT14", 7),  # wider than its input
]

FULL = [
    _case("INT14", "INT8", 2, 6, 1, 5),
    _case("INT16", "INT8", 0, 4, 2, 8),
    _case("INT8", "INT8", 1, 6, 6, 8),
    _case("INT8", "INT4", 9, 4, 2, 16),
    _case("INT4", "INT12", 0, 4, 4, 8),
    _case("INT12", "UINT6", 3, 8, 4, 8),
    _case("UINT10", "INT8", 2, 8, 2, 8),
    _case("UINT8", "BINARY", 7, 8, 8, 8),
    _case("INT20", "INT8", 12, 24, 24, 8),
    _case("INT25", "INT8", 12, 16, 16, 4, "INT8", 12),  # the widest PA layer
    _case("INT9", "INT8", 0, 6, 1, 6, "INT8", 0),  # as few fraction bits as there are
]

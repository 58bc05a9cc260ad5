# SPDX-License-Identifier: Apache-2.0
"""Golden of BorderBias: a shift, and a summand by how near the border a pixel lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray, saturate, type_format


def border_bias(
    x: IntArray, bias: IntArray, rows: Sequence[int], columns: Sequence[int], shift: int
) -> IntArray:
    """Return x (N, H, W, C) times 2**shift, plus the bias of its row's and its column's run.

    Args:
        x: integers.
        bias: (runs of rows * runs of columns, C), those of the columns side by side.
        rows: how many rows each run has, from the top.
        columns: how many columns each run has, from the left.
        shift: bits.
    """
    table = bias.reshape(len(rows), len(columns), -1)
    places = np.repeat(np.repeat(table, rows, axis=0), columns, axis=1)
    return x * (1 << shift) + places


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """BorderBias: inputs x, bias; the output type holds the sums, or saturates them."""
    rows, columns = ([int(n) for n in attrs[name]] for name in ("RowRuns", "ColumnRuns"))
    y = border_bias(inputs[0], inputs[1], rows, columns, int(attrs["shift"]))
    return [saturate(y, *type_format(attrs["outputDataType"])) if attrs["saturates"] else y]

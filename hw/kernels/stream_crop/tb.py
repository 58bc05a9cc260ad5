# SPDX-License-Identifier: Apache-2.0
"""Cocotb test of stream_crop beyond the shared bench: the border waits for nobody."""

from __future__ import annotations

from typing import Any

import cocotb

from ....sim.tb_blocked import words_taken


@cocotb.test()
async def border_waits_for_nobody(dut: Any) -> None:
    """While a row's last word waits at the output, words go in up to the next one that stays."""
    names = ("Folds", "Rows", "Columns", "Top", "Left", "Bottom", "Right")
    folds, rows, columns, top, left, bottom, right = (
        int(getattr(dut.u_core, name).value) for name in names
    )
    picture = [
        top <= row < rows - bottom and left <= column < columns - right
        for row in range(rows)
        for column in range(columns)
        for _ in range(folds)
    ]
    stays = [i for i, inside in enumerate(2 * picture) if inside]
    kept = folds * (columns - left - right)
    taken = await words_taken(dut, 2 * len(picture) + 10, kept - 1)
    assert taken == stays[kept], f"{taken} words went in, expected {stays[kept]}"

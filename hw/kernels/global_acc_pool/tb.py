# SPDX-License-Identifier: Apache-2.0
"""Cocotb test of global_acc_pool beyond the shared bench: sums that wait do not stop the input."""

from __future__ import annotations

from typing import Any

import cocotb

from ....sim.tb_blocked import words_taken


@cocotb.test()
async def input_waits_in_the_last_pixel_only(dut: Any) -> None:
    """While a frame's last sum waits at the output, words are taken up to the next sum's end."""
    folds, pixels = (int(getattr(dut.u_core, name).value) for name in ("Folds", "Pixels"))
    frame = [pixel == pixels - 1 for pixel in range(pixels) for _ in range(folds)]
    ends = [i for i, last in enumerate(2 * frame) if last]
    taken = await words_taken(dut, 2 * len(frame) + 10, folds - 1)
    assert taken == ends[folds], f"{taken} words went in, expected {ends[folds]}"

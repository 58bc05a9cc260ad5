# SPDX-License-Identifier: Apache-2.0
"""For a kernel's own bench: how many words a design takes whose output stops taking any."""

from __future__ import annotations

from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly


async def words_taken(dut: Any, cycles: int, leaving: int) -> int:
    """Reset the design and offer a word in each of some cycles.

    Args:
        cycles: how long.
        leaving: words that the output takes before it takes no more.

    Returns:
        How many words went in.
    """
    Clock(dut.ap_clk, 10, "ns").start()
    dut.in0_V_TVALID.value = 1
    dut.in0_V_TDATA.value = 0
    dut.out0_V_TREADY.value = int(leaving > 0)
    await FallingEdge(dut.ap_clk)
    dut.ap_rst_n.value = 0
    await FallingEdge(dut.ap_clk)
    dut.ap_rst_n.value = 1
    taken = 0
    for _ in range(cycles):
        # Looked at half a cycle before the edge that moves the words, with ready settled.
        await ReadOnly()
        taken += bool(dut.in0_V_TREADY.value)
        leaving -= bool(leaving and dut.out0_V_TVALID.value)
        await FallingEdge(dut.ap_clk)
        dut.out0_V_TREADY.value = int(leaving > 0)
    return taken

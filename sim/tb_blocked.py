# SPDX-License-Identifier: Apache-2.0
"""For a kernel's own bench: how many words a design takes while its output takes none."""

from __future__ import annotations

from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge


async def words_taken(dut: Any, cycles: int) -> int:
    """Reset the design, offer a word in each of some cycles, take none; return how many went in."""
    Clock(dut.ap_clk, 10, "ns").start()
    dut.in0_V_TVALID.value = 1
    dut.in0_V_TDATA.value = 0
    dut.out0_V_TREADY.value = 0
    await FallingEdge(dut.ap_clk)
    dut.ap_rst_n.value = 0
    await FallingEdge(dut.ap_clk)
    dut.ap_rst_n.value = 1
    taken = 0
    for _ in range(cycles):
        # Looked at half a cycle before the edge that moves the word.
        taken += bool(dut.in0_V_TREADY.value)
        await FallingEdge(dut.ap_clk)
    return taken

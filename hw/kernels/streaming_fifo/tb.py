# SPDX-License-Identifier: Apache-2.0
"""Cocotb tests of the FIFO beyond the shared bench: capacity limit, peak fill, half rate."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge


async def start(dut: Any, capacity: int | None = None) -> int:
    """Start the clock and reset the FIFO; see ``reset``."""
    Clock(dut.ap_clk, 10, "ns").start()
    dut.in0_V_TVALID.value = 0
    dut.in0_V_TDATA.value = 0
    dut.out0_V_TREADY.value = 0
    await FallingEdge(dut.ap_clk)
    return await reset(dut, capacity)


async def reset(dut: Any, capacity: int | None = None) -> int:
    """Reset the FIFO for one edge, limit it to ``capacity`` words; return the limit in force."""
    dut.ap_rst_n.value = 0
    await FallingEdge(dut.ap_clk)
    dut.ap_rst_n.value = 1
    if capacity is not None:
        dut.u_core.capacity_q.value = capacity
    await FallingEdge(dut.ap_clk)
    return int(dut.u_core.capacity_q.value)


async def run(dut: Any, cycles: int, offer: bool, take: bool, first: int) -> tuple[int, list[int]]:
    """Offer counting words from ``first`` and take words for some cycles.

    Returns:
        Number of words that went in, and the words that came out.
    """
    mask = (1 << len(dut.in0_V_TDATA)) - 1
    used = (1 << int(dut.u_core.Width.value)) - 1
    pushed, popped = 0, []
    for _ in range(cycles):
        dut.in0_V_TVALID.value = int(offer)
        dut.in0_V_TDATA.value = (first + pushed) & mask & used
        dut.out0_V_TREADY.value = int(take)
        # Ports and registers are looked at half a cycle before the edge that moves the words.
        goes_in = offer and bool(dut.in0_V_TREADY.value)
        if take and dut.out0_V_TVALID.value:
            popped.append(int(dut.out0_V_TDATA.value) & used)
        await FallingEdge(dut.ap_clk)
        pushed += goes_in
    dut.in0_V_TVALID.value = 0
    dut.out0_V_TREADY.value = 0
    return pushed, popped


async def check_fill(dut: Any, capacity: int) -> None:
    """Fill to the brim, look at fill and peak, empty, compare the words."""
    used = (1 << int(dut.u_core.Width.value)) - 1
    pushed, _ = await run(dut, capacity + 5, offer=True, take=False, first=1)
    fill, peak = int(dut.u_core.fill_q.value), int(dut.u_core.peak_q.value)
    assert (pushed, fill, peak) == (capacity, capacity, capacity), (
        f"capacity {capacity}: {pushed} words went in, fill {fill}, peak {peak}"
    )
    _, popped = await run(dut, 2 * capacity + 5, offer=False, take=True, first=0)
    expected = [(1 + i) & used for i in range(capacity)]
    assert popped == expected, f"capacity {capacity}: expected {expected}, got {popped}"
    assert int(dut.u_core.fill_q.value) == 0
    assert int(dut.u_core.peak_q.value) == capacity, "the peak fell while the FIFO emptied"


@cocotb.test()
async def holds_depth_words(dut: Any) -> None:
    """Without a limit the FIFO takes exactly Depth words, twice around its memory."""
    capacity = await start(dut)
    assert capacity == int(dut.u_core.Depth.value)
    await check_fill(dut, capacity)
    await check_fill(dut, capacity)


@cocotb.test()
async def obeys_capacity_limit(dut: Any) -> None:
    """A limit set after reset is what the FIFO takes; the peak follows the fill."""
    depth = await start(dut)
    for limit in sorted({2, (depth + 2) // 2, depth}):
        assert await reset(dut, limit) == limit
        await check_fill(dut, limit)


@cocotb.test()
async def peak_is_cleared_by_reset(dut: Any) -> None:
    """The peak counts from the last reset, which also empties the FIFO and forgets the limit."""
    capacity = await start(dut)
    await check_fill(dut, capacity)
    await reset(dut, 2)
    await run(dut, 2, offer=True, take=False, first=0)
    assert await reset(dut) == capacity
    assert int(dut.u_core.peak_q.value) == 0
    await run(dut, 1, offer=True, take=False, first=0)
    assert int(dut.u_core.peak_q.value) == 1


@cocotb.test()
async def runs_at_its_rate_with_few_words(dut: Any) -> None:
    """Two words of capacity are enough for a word in every cycle, or every other; four from block
    RAM or parts of LUTs, whose latency is three cycles, and one more of each from banks of it."""
    late = int(dut.u_core.Depth.value) >= (4 if dut.u_core.BlockRam.value else 257)
    banks = bool(dut.u_core.BankWords.value)
    await start(dut, 5 if banks else 4 if late else 2)
    pushed, popped = await run(dut, 50, offer=True, take=True, first=0)
    if banks:
        expected = (50, 46)
    elif dut.u_core.HalfRate.value:
        expected = (27, 24) if late else (26, 24)
    else:
        expected = (50, 47) if late else (50, 49)
    assert (pushed, len(popped)) == expected, f"{pushed} words in, {len(popped)} out in 50 cycles"

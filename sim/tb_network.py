# SPDX-License-Identifier: Apache-2.0
"""The cocotb bench of a whole network: pictures in, results out, with and without back-pressure,
behind a reset that cuts other pictures off.

Runs inside the simulator. The plan (environment variable ANDPOP_PLAN, JSON) holds the words of
all pictures (``inputs``), of all results of each result stream (``outputs``), and the cycles
without a result after which the network counts as stuck (``patience``).
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

PLAN: dict[str, Any] = json.loads(Path(os.environ["ANDPOP_PLAN"]).read_text())


async def feed(dut: Any, words: list[int], rng: random.Random, rate: float) -> None:
    """Offer every word; once offered, a word stays until it is taken."""
    for word in words:
        while rng.random() >= rate:
            await RisingEdge(dut.ap_clk)
        dut.s_axis_0_tdata.value = word
        dut.s_axis_0_tvalid.value = 1
        await RisingEdge(dut.ap_clk)
        while not dut.s_axis_0_tready.value:
            await RisingEdge(dut.ap_clk)
        dut.s_axis_0_tvalid.value = 0


async def reset(dut: Any) -> None:
    """Hold reset for one edge and leave the inputs as they are."""
    dut.ap_rst_n.value = 0
    await RisingEdge(dut.ap_clk)
    dut.ap_rst_n.value = 1


async def collect(dut: Any, stream: int, rate: float) -> None:
    """Take every word of a result stream, in order."""
    rng = random.Random(7 + stream)
    valid, data, ready = (
        getattr(dut, f"m_axis_{stream}_{name}") for name in ("tvalid", "tdata", "tready")
    )
    quiet = 0
    for number, expected in enumerate(PLAN["outputs"][stream]):
        while True:
            takes = rng.random() < rate
            ready.value = int(takes)
            await RisingEdge(dut.ap_clk)
            quiet += 1
            if takes and valid.value:
                break
            if quiet > PLAN["patience"]:
                raise AssertionError(
                    f"stream {stream}: no result {number} after {PLAN['patience']} cycles"
                )
        got = data.value.to_unsigned()
        if got != expected:
            raise AssertionError(
                f"stream {stream}, result {number}: expected {expected}, got {got}"
            )
        quiet = 0
    ready.value = 1


@cocotb.test()
@cocotb.parametrize(rate=[1.0, 0.3])
async def pictures(dut: Any, rate: float) -> None:
    """All results of every stream in order, at the given rate of input and outputs."""
    Clock(dut.ap_clk, 10, "ns").start()
    dut.s_axis_0_tvalid.value = 0
    for stream in range(len(PLAN["outputs"])):
        getattr(dut, f"m_axis_{stream}_tready").value = 1
    await reset(dut)
    words = PLAN["inputs"]
    await feed(dut, words[: len(words) * 2 // 3 + 1], random.Random(9), rate)
    await reset(dut)
    cocotb.start_soon(feed(dut, words, random.Random(8), rate))
    results = [cocotb.start_soon(collect(dut, n, rate)) for n in range(len(PLAN["outputs"]))]
    for result in results:
        await result

# SPDX-License-Identifier: Apache-2.0
"""The cocotb bench of `andpop_axi`: batches, registers, errors, resets, what stands still."""

from __future__ import annotations

from typing import Any

import cocotb
from axi_bench import (
    ADDRESS,
    BATCH,
    BUS,
    CONTROL,
    DMAS,
    DONE,
    ENABLE,
    ERRORS,
    FRAME,
    FRAMES,
    GLOBAL,
    GUARD,
    HEADS,
    HIGH,
    IDLE,
    LENGTH,
    LOW,
    PLAN,
    READY,
    RESPONSE,
    START,
    WAITING,
    bench_of,
)
from cocotb.utils import get_sim_time


@cocotb.test()
async def batches(dut: Any) -> None:
    """Batches of all lengths, every channel pausing at random, compared to the byte."""
    bench = await bench_of(dut, 1)
    passed = 0
    for number in range(PLAN["batches"]):
        bench.pause(None if number == 0 else bench.rng)
        frames = bench.some()
        passed += len(frames)
        await bench.batch(frames)
    await bench.cycles(5)
    for i in range(1 + HEADS):
        assert await bench.read("control0", 0x44 + 0x20 * i) == passed
        assert (await bench.read("control0", 0x40 + 0x20 * i)) & 0xFF1 == 0
        peaks = await bench.read("control0", 0x4C + 0x20 * i)
        assert 0 < peaks & 0xFFFF <= peaks >> 16 == 64
    assert await bench.read("control0", 0x24) == 0


@cocotb.test()
async def registers(dut: Any) -> None:
    """The registers answer as those of FINN's DMA do; the control block tells who it is."""
    bench = await bench_of(dut, 2)
    assert (await bench.lite["control0"].read(0, 4)).data == b"ANDP"
    assert await bench.read("control0", 0x04) == 1
    assert await bench.read("control0", 0x08) == 1 + 256 * HEADS
    assert (await bench.lite["control0"].read(0x10, 16)).data.hex() == PLAN["hash"]
    assert await bench.read("control0", 0x30) == PLAN["watchdog"]
    for name in DMAS:
        assert await bench.read(name, CONTROL) == IDLE
        for register in (LOW, HIGH, BATCH):
            await bench.write(name, register, 0x01234567)
            await bench.lite[name].write(register + 2, b"\xab")
            assert await bench.read(name, register) == 0x01AB4567, hex(register)
        for register in (0x18, 0x20, 0x28, 0x3C):
            await bench.write(name, register, 0xFFFFFFFF)
            assert await bench.read(name, register) == 0
        await bench.write(name, ERRORS, 0xFF)
        assert await bench.read(name, ERRORS) == 0
    await bench.write("odma0", ENABLE, 1)
    _, targets, expected = await bench.begin([0, 1])
    await bench.until("odma0", WAITING, 1)
    found = await bench.read("odma0", CONTROL)
    assert found == DONE | IDLE | READY, found
    assert await bench.read("odma0", CONTROL) == IDLE, "done is cleared by a read"
    for i in range(1, HEADS):
        await bench.until(f"odma{i}", CONTROL, DONE)
    bench.compare(targets, expected)
    assert not dut.irq.value, "interrupts are passed on before they are allowed"
    await bench.write("odma0", GLOBAL, 1)
    await bench.cycles(4)
    assert dut.irq.value
    await bench.write("odma0", WAITING, 1)
    await bench.cycles(4)
    assert not dut.irq.value and await bench.read("odma0", WAITING) == 0


@cocotb.test()
async def queued(dut: Any) -> None:
    """A second batch that is started while the first one runs follows it."""
    bench = await bench_of(dut, 3)
    bench.pause(bench.rng)
    first, second = bench.some(3), bench.some(3)
    one = await bench.begin(first)
    two = bench.place(second, base=0x400_0000)
    await bench.until("idma0", CONTROL, READY)
    await bench.start("idma0", two[0], len(second))
    for i, target in enumerate(two[1]):
        await bench.start(f"odma{i}", target, len(second))
    for i in range(HEADS):
        for _ in range(2000):
            if await bench.read("control0", 0x64 + 0x20 * i) == len(first) + len(second):
                break
        await bench.until(f"odma{i}", CONTROL, IDLE)
    bench.compare(*one[1:])
    bench.compare(*two[1:])


@cocotb.test()
async def errors_of_the_memory(dut: Any) -> None:
    """A bad response stops the DMA with its flag, never says done, and a soft reset helps."""
    bench = await bench_of(dut, 4)
    for number in range(PLAN["errors"]):
        bench.pause(None if number < 2 else bench.rng)
        await bench.write("control0", 0x2C, 2)
        frames = bench.some()
        source, targets, expected = bench.place(frames)
        places = [(source, len(frames) * len(FRAMES[0][0]))]
        places += [(a, len(e) - 2 * GUARD) for a, e in zip(targets, expected, strict=True)]
        victim = number % len(DMAS)
        at = places[victim][0] + bench.rng.randrange(places[victim][1])
        bench.faults.bad = range(at, at + 1)
        for i, target in enumerate(targets):
            await bench.start(f"odma{i}", target, len(frames))
        await bench.start("idma0", source, len(frames))
        await bench.until("control0", 0x24, 4)
        await bench.cycles(300)
        assert dut.irq.value
        for i, name in enumerate(DMAS):
            assert await bench.read(name, ERRORS) == (RESPONSE if i == victim else 0)
            flags = await bench.read("control0", 0x40 + 0x20 * i)
            assert flags >> 8 == (RESPONSE if i == victim else 0)
        await bench.write(DMAS[victim], CONTROL, START)
        await bench.cycles(100)
        assert not await bench.read(DMAS[victim], CONTROL) & (DONE | IDLE)
        for i, (target, wanted) in enumerate(zip(targets, expected, strict=True)):
            if i + 1 == victim:
                end = target + len(wanted) - GUARD
                assert bytes(bench.memory[target - GUARD : target]) == wanted[:GUARD]
                assert bytes(bench.memory[end - GUARD : end]) == wanted[-GUARD:]
        assert await bench.read("control0", 0x28) == 2
        await bench.write("control0", 0x28, 2)
        await bench.soft_reset()
        assert not dut.irq.value
        bench.faults.bad = range(0)
        await bench.batch(bench.some(3))


@cocotb.test()
async def refusals(dut: Any) -> None:
    """Addresses between beats and batches of 4 GiB are refused; a batch of none is done at once."""
    bench = await bench_of(dut, 5)
    for name in DMAS:
        await bench.start(name, 0x1000, 0)
        await bench.until(name, CONTROL, DONE)
        for offset in (1, BUS // 2, BUS - 1):
            await bench.start(name, 0x1000 + offset, 1)
            await bench.until(name, ERRORS, ADDRESS)
            assert not await bench.read(name, CONTROL) & (DONE | IDLE)
            await bench.soft_reset()
        size = len(FRAMES[0][0] if name == "idma0" else FRAMES[0][1][DMAS.index(name) - 1])
        if size > 1:
            await bench.start(name, 0x1000, -(-(2**32) // size))
            await bench.until(name, ERRORS, LENGTH)
            assert await bench.read(name, ERRORS) == LENGTH
        await bench.soft_reset()
    assert not any(w.count for w in bench.watches if w.name.endswith(("_ar", "_aw")))
    await bench.batch(bench.some())


@cocotb.test()
async def soft_resets(dut: Any) -> None:
    """A soft reset at any time ends with a quiet bus, and what follows is exact."""
    bench = await bench_of(dut, 6)
    for number in range(PLAN["resets"]):
        bench.pause(bench.rng if number % 3 else None)
        await bench.begin(bench.some())
        await bench.cycles(bench.rng.choice((0, 5, 50, 300)) + bench.rng.randrange(60))
        await bench.soft_reset()
        await bench.batch(bench.some(2))


@cocotb.test()
async def hard_resets(dut: Any) -> None:
    """A hard reset of all at any time: what follows is exact."""
    bench = await bench_of(dut, 7)
    for number in range(PLAN["resets"] // 2):
        bench.pause(bench.rng if number % 3 else None)
        await bench.begin(bench.some())
        await bench.cycles(bench.rng.choice((0, 5, 50, 300)) + bench.rng.randrange(60))
        await bench.reset()
        assert not any(getattr(dut, f"{n}_tvalid").value for n in DMAS)
        await bench.batch(bench.some(2))


@cocotb.test()
async def watchdog(dut: Any) -> None:
    """A network that stands still sets the watchdog off, and it alone; a soft reset helps."""
    bench = await bench_of(dut, 8)
    await bench.write("control0", 0x30, 400)
    await bench.write("control0", 0x2C, 1)
    await bench.batch(bench.some())
    assert await bench.read("control0", 0x24) == 0
    await bench.cycles(600)
    assert await bench.read("control0", 0x24) == 0, "nothing is awaited while all is idle"
    await bench.begin([0, 1, 2])
    await bench.cycles(60)
    dut.network0.u_network.hangs.value = 1
    await bench.until("control0", 0x24, 2)
    await bench.cycles(4)
    assert dut.irq.value and await bench.read("control0", 0x28) == 1
    assert await bench.read("control0", 0x34) >= 400
    still = await bench.read("control0", 0x48)
    assert await bench.read("control0", 0x48) > still >= 300, "the input is not taken"
    await bench.write("control0", 0x28, 1)
    await bench.cycles(4)
    assert not dut.irq.value
    await bench.soft_reset()
    await bench.write("control0", 0x30, 0)
    await bench.begin([0, 1, 2])
    await bench.cycles(60)
    dut.network0.u_network.hangs.value = 1
    await bench.cycles(900)
    assert await bench.read("control0", 0x24) == 1
    await bench.soft_reset()
    await bench.batch(bench.some())


@cocotb.test()
async def ends_of_frames(dut: Any) -> None:
    """A word too many or too few in a frame is told, not written on as if nothing were."""
    bench = await bench_of(dut, 9)
    for head, words in enumerate(PLAN["words"][1:]):
        if words == 1:
            continue
        bench.strays = True
        counter = getattr(dut.network0, f"u_marker_{head}").u_words
        counter.gen_loop.count_q.value = words // 2
        await bench.begin(bench.some())
        await bench.until(f"odma{head}", ERRORS, FRAME)
        await bench.cycles(200)
        assert not await bench.read(f"odma{head}", CONTROL) & (DONE | IDLE)
        await bench.soft_reset()
        bench.strays = False
        await bench.batch(bench.some())


@cocotb.test()
async def pace(dut: Any) -> None:
    """Without pauses several bursts are under way, and the bus sets the pace."""
    bench = await bench_of(dut, 10)
    await bench.batch([0] * 6)
    before = [w.count for w in bench.watches]
    await bench.begin([1] * 6)
    start = get_sim_time("ns")
    await bench.until("odma0", CONTROL, DONE)
    cycles = (get_sim_time("ns") - start) / 10
    words = 6 * PLAN["words"][0]
    beats = max(words, 6 * -(-len(FRAMES[0][0]) // BUS))
    assert any(a != b for a, b in zip(before, (w.count for w in bench.watches), strict=True))
    assert cycles < 1.15 * beats + 150, f"{cycles} cycles for {beats} beats or words"
    if 6 * len(FRAMES[0][0]) > 2 * 16 * BUS:
        assert bench.most >= 2, "bursts wait for each other"

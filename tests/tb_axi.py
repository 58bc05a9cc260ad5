# SPDX-License-Identifier: Apache-2.0
"""The cocotb bench of `andpop_axi`: memory, a driver of its registers, a watch on every channel.

Runs inside the simulator. Frames and what they have to give come from the plan (ANDPOP_PLAN).
"""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRamRead, AxiRamWrite
from cocotbext.axi.sparse_memory import SparseMemory

PLAN: dict[str, Any] = json.loads(Path(os.environ["ANDPOP_PLAN"]).read_text())
FRAMES = [(bytes.fromhex(f), [bytes.fromhex(h) for h in heads]) for f, heads in PLAN["frames"]]
BUS = PLAN["data_bits"] // 8
HEADS = len(FRAMES[0][1])
DMAS = ["idma0", *(f"odma{i}" for i in range(HEADS))]
SEED = PLAN["seed"]
GUARD = 64

CONTROL, GLOBAL, ENABLE, WAITING, LOW, HIGH, BATCH, ERRORS = (
    0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C, 0x24,
)  # fmt: skip
START, DONE, IDLE, READY = 1, 2, 4, 8
RESPONSE, ADDRESS, LENGTH, FRAME = 1, 2, 4, 8


def pauses(rng: random.Random) -> Iterator[bool]:
    """Pause in one of several manners: never, by the coin, in long stretches."""
    kind = rng.choice(("never", "coin", "bursts"))
    rate = rng.choice((0.1, 0.4, 0.8))
    while True:
        if kind == "never":
            yield False
        elif kind == "coin":
            yield rng.random() < rate
        else:
            yield from [False] * rng.randint(1, 40)
            yield from [True] * rng.randint(1, 60)


class Faults:
    """Addresses at which the memory answers with an error."""

    def __init__(self) -> None:
        self.bad: range = range(0)

    def check(self, address: int, length: int) -> None:
        """Raise where the memory is bad."""
        if set(range(address, address + length)) & set(self.bad):
            raise ValueError("bad memory")


class RamRead(AxiRamRead):
    """Memory to read from, with faults."""

    faults: Faults

    async def _read(self, address: int, length: int) -> Any:
        self.faults.check(address, length)
        return await super()._read(address, length)


class RamWrite(AxiRamWrite):
    """Memory to write to, with faults."""

    faults: Faults

    async def _write(self, address: int, data: bytes) -> None:
        self.faults.check(address, len(data))
        await super()._write(address, data)


class Watch:
    """Looks at one channel in every cycle: what is on offer stays until it is taken."""

    def __init__(self, dut: Any, name: str, valid: str, ready: str, payload: list[str]) -> None:
        self.name = name
        self.valid, self.ready = getattr(dut, valid), getattr(dut, ready)
        self.payload = [getattr(dut, p) for p in payload]
        self.held: list[str] | None = None
        self.count = 0

    def sample(self, reset: bool) -> bool:
        """Look at an edge; True when something moved.

        Raises:
            AssertionError: the rules of the channel are broken.
        """
        if reset:
            self.held = None
            return False
        if not self.valid.value:
            assert self.held is None, f"{self.name}: valid fell while ready was low"
            return False
        found = [str(p.value) for p in self.payload]
        assert self.held is None or self.held == found, (
            f"{self.name}: payload changed while stalled"
        )
        taken = bool(self.ready.value)
        self.held = None if taken else found
        self.count += taken
        return taken


class Bench:
    """The design with its memories, registers and watches."""

    def __init__(self, dut: Any, seed: int) -> None:
        for name in ("cocotb.andpop_axi", "cocotb.Test"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.dut = dut
        self.rng = random.Random(seed)
        self.memory = SparseMemory(2**40)
        self.faults = Faults()
        clock, reset = dut.ap_clk, dut.ap_rst_n
        dut.ap_rst_n.value = 0
        Clock(clock, 10, "ns").start()
        self.lite = {
            name: AxiLiteMaster(
                AxiLiteBus.from_prefix(dut, f"s_axi_{name}"), clock, reset, reset_active_level=False
            )
            for name in ("control0", *DMAS)
        }
        self.rams = []
        for name in DMAS:
            bus = AxiBus.from_prefix(dut, f"m_axi_{name}")
            for kind, half in ((RamRead, bus.read), (RamWrite, bus.write)):
                ram = kind(half, clock, reset, reset_active_level=False, mem=self.memory)
                ram.faults = self.faults
                self.rams.append(ram)
        self.watches = []
        for name in DMAS:
            p = f"m_axi_{name}_"
            for c, rest in (("ar", ["addr", "len"]), ("aw", ["addr", "len"])):
                self._watch(p, c, [f"{p}{c}{r}" for r in rest])
            self._watch(p, "w", [p + "wdata", p + "wstrb", p + "wlast"])
        for name in ("control0", *DMAS):
            p = f"s_axi_{name}_"
            self._watch(p, "b", [p + "bresp"])
            self._watch(p, "r", [p + "rdata", p + "rresp"])
        for name in DMAS:
            self._watch(f"{name}_t", "", [f"{name}_tdata", f"{name}_tlast"])
        self.out = random.Random(seed + 1)
        cocotb.start_soon(self._watching())

    def _watch(self, prefix: str, channel: str, payload: list[str]) -> None:
        name = prefix + channel
        watch = Watch(self.dut, name, f"{name}valid", f"{name}ready", payload)
        self.watches.append(watch)

    async def _watching(self) -> None:
        ends: dict[str, int] = {}
        signals = {n: (f"{n}_tvalid", f"{n}_tready", f"{n}_tlast") for n in DMAS}
        words = {n: 0 for n in DMAS}
        while True:
            await RisingEdge(self.dut.ap_clk)
            hard = not self.dut.ap_rst_n.value
            soft = not self.dut.network_rst_n.value
            for watch in self.watches:
                watch.sample(hard or (soft and not watch.name.startswith(("m_axi", "s_axi"))))
            for name in DMAS:
                assert hard or self.dut.ap_rst_n.value
                if hard or soft:
                    words[name] = 0
                    continue
                valid, ready, last = (getattr(self.dut, s) for s in signals[name])
                if valid.value and ready.value:
                    words[name] += 1
                    expected = words[name] == PLAN["words"][DMAS.index(name)]
                    if PLAN.get("marks", True) and not self.strays:
                        assert bool(last.value) == expected, f"{name}: last at word {words[name]}"
                    if expected:
                        words[name] = 0
                        ends[name] = ends.get(name, 0) + 1

    strays = False

    async def reset(self) -> None:
        """Hard reset of all, the memory's side too."""
        self.dut.ap_rst_n.value = 0
        await self.cycles(5)
        self.dut.ap_rst_n.value = 1
        await self.cycles(2)

    async def cycles(self, count: int) -> None:
        """Wait."""
        for _ in range(count):
            await RisingEdge(self.dut.ap_clk)

    def pause(self, rng: random.Random | None) -> None:
        """Pause at random on every channel, or nowhere."""
        for ram in self.rams:
            channels = ("aw", "w", "b") if isinstance(ram, RamWrite) else ("ar", "r")
            for c in channels:
                channel = getattr(ram, f"{c}_channel")
                if rng is None:
                    channel.clear_pause_generator()
                    channel.pause = False
                else:
                    channel.set_pause_generator(pauses(random.Random(rng.random())))

    async def read(self, name: str, address: int) -> int:
        """Read a register."""
        return int(await self.lite[name].read_dword(address))

    async def write(self, name: str, address: int, value: int) -> None:
        """Write a register."""
        await self.lite[name].write_dword(address, value)

    async def start(self, name: str, address: int, batch: int) -> None:
        """Start a DMA as FINN's driver does."""
        await self.write(name, LOW, address & 0xFFFFFFFF)
        await self.write(name, HIGH, address >> 32)
        await self.write(name, BATCH, batch)
        await self.write(name, CONTROL, START)

    async def until(self, name: str, address: int, bit: int, limit: int = 40000) -> int:
        """Read a register until a bit is set."""

        async def polling() -> int:
            while True:
                found = await self.read(name, address)
                if found & bit:
                    return found

        return int(await with_timeout(polling(), limit * 10, "ns"))

    def place(
        self, frames: list[int], base: int | None = None
    ) -> tuple[int, list[int], list[bytes]]:
        """Put frames into memory; return where, where results go, and the results expected.

        Regions start at a beat near a border of 4 KiB, above 4 GiB too; noise lies around them.
        """
        rng = self.rng
        addresses = []
        sizes = [len(frames) * len(FRAMES[0][0])]
        sizes += [len(frames) * len(h) for h in FRAMES[0][1]]
        at = rng.choice((0x10_0000, 0x1_2000_0000)) if base is None else base
        for size in sizes:
            at = (at + 8191) // 4096 * 4096
            start = at + 4096 - rng.randrange(0, min(4096, size + 64) // BUS + 1) * BUS
            addresses.append(start)
            self.memory[start - GUARD : start + size + GUARD] = rng.randbytes(size + 2 * GUARD)
            at = start + size + GUARD
        data = b"".join(FRAMES[f][0] for f in frames)
        self.memory[addresses[0] : addresses[0] + len(data)] = data
        expected = []
        for h, (start, size) in enumerate(zip(addresses[1:], sizes[1:], strict=True)):
            before = bytes(self.memory[start - GUARD : start])
            after = bytes(self.memory[start + size : start + size + GUARD])
            result = b"".join(FRAMES[f][1][h] for f in frames)
            expected.append(before + result + after)
        return addresses[0], addresses[1:], expected

    def compare(self, addresses: list[int], expected: list[bytes]) -> None:
        """Compare results and the bytes around them."""
        for h, (address, wanted) in enumerate(zip(addresses, expected, strict=True)):
            start = address - GUARD
            found = bytes(self.memory[start : start + len(wanted)])
            wrong = [i - GUARD for i in range(len(wanted)) if found[i] != wanted[i]]
            assert not wrong, f"head {h}: {len(wrong)} bytes differ, the first at {wrong[0]}"

    async def batch(self, frames: list[int]) -> None:
        """Run a batch as FINN's driver does, and compare."""
        source, targets, expected = self.place(frames)
        for i, target in enumerate(targets):
            assert await self.read(f"odma{i}", CONTROL) & IDLE, f"odma{i} is not idle"
            await self.start(f"odma{i}", target, len(frames))
        await self.start("idma0", source, len(frames))
        for i in range(HEADS):
            await self.until(f"odma{i}", CONTROL, DONE)
        self.compare(targets, expected)

    def some(self, most: int = 6) -> list[int]:
        """Choose frames."""
        return [self.rng.randrange(len(FRAMES)) for _ in range(self.rng.randint(1, most))]

    async def soft_reset(self) -> None:
        """Reset by the control block, and wait for its end."""
        await self.write("control0", 0x20, 1)

        async def polling() -> None:
            while await self.read("control0", 0x20) & 1:
                pass

        await with_timeout(polling(), 100, "us")


async def bench_of(dut: Any, salt: int) -> Bench:
    """Make the bench and reset the design."""
    bench = Bench(dut, SEED * 1000 + salt)
    await bench.reset()
    return bench


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

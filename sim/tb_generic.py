# SPDX-License-Identifier: Apache-2.0
"""The cocotb bench of every stream kernel: plays a plan of words, checks each output bit.

Runs inside the simulator and knows no op: ports, words and phases come from the plan written by
``sim.bench`` (environment variable ANDPOP_PLAN); what was measured goes to ANDPOP_REPORT.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

PLAN: dict[str, Any] = json.loads(Path(os.environ["ANDPOP_PLAN"]).read_text())
PHASES: dict[str, dict[str, Any]] = {p["name"]: p for p in PLAN["phases"]}
REPORT: dict[str, dict[str, Any]] = {}


class BenchError(AssertionError):
    """The design broke its promise; the message says where."""


def always(_: random.Random) -> Iterator[bool]:
    """Never pause."""
    while True:
        yield True


def coin(rng: random.Random) -> Iterator[bool]:
    """Pause at random, with a rate of its own for each seed."""
    rate = rng.choice((0.2, 0.5, 0.8))
    while True:
        yield rng.random() < rate


def gaps(rng: random.Random) -> Iterator[bool]:
    """Pause for single cycles after one to four words."""
    while True:
        for _ in range(rng.randint(1, 4)):
            yield True
        yield False


def stalls(rng: random.Random) -> Iterator[bool]:
    """Pause rarely and long: a full pipeline has to hold everything."""
    while True:
        for _ in range(rng.randint(5, 60)):
            yield True
        for _ in range(rng.randint(30, 60)):
            yield False


PATTERNS: dict[str, Callable[[random.Random], Iterator[bool]]] = {
    "none": always, "random": coin, "gaps": gaps, "stall": stalls,
}  # fmt: skip


class Source:
    """Drives one input stream; a word once offered stays until it is taken.

    While nothing is offered the data lines carry noise: a design that looks at them is found out.
    """

    def __init__(
        self, dut: Any, port: dict[str, Any], words: list[int], noise: random.Random
    ) -> None:
        self.valid = getattr(dut, f"{port['name']}_TVALID")
        self.ready = getattr(dut, f"{port['name']}_TREADY")
        self.data = getattr(dut, f"{port['name']}_TDATA")
        self.width = port["width"]
        self.words = words
        self.noise = noise
        self.taken = 0
        self.offering = False
        self.first: int | None = None

    def idle(self) -> None:
        """Offer nothing."""
        self.valid.value = 0
        self.data.value = self.noise.getrandbits(self.width)
        self.offering = False

    def sample(self, cycle: int) -> bool:
        """Look at the handshake of the edge; True when a word went."""
        if not self.offering or not self.ready.value:
            return False
        self.taken += 1
        self.offering = False
        if self.first is None:
            self.first = cycle
        return True

    def drive(self, go: bool) -> None:
        """Choose what the next edge sees."""
        if self.offering:
            return
        if go and self.taken < len(self.words):
            self.data.value = self.words[self.taken]
            self.valid.value = 1
            self.offering = True
        else:
            self.idle()


class Sink:
    """Takes one output stream, compares each word, watches the rules of the stream."""

    def __init__(self, dut: Any, port: dict[str, Any], words: list[int], frame: int) -> None:
        self.name = port["name"]
        self.valid = getattr(dut, f"{self.name}_TVALID")
        self.ready = getattr(dut, f"{self.name}_TREADY")
        self.data = getattr(dut, f"{self.name}_TDATA")
        self.mask = (1 << port["width"]) - 1
        self.words = words
        self.frame = frame
        self.count = 0
        self.equal = 0
        self.is_ready: bool | None = None  # the line is left as the run before drove it
        self.held: int | None = None
        self.first: int | None = None
        self.frame_ends: list[int] = []
        self.seen = False

    def where(self) -> str:
        """Name the word at hand."""
        frame, word = divmod(self.count, self.frame)
        return f"{self.name} word {self.count} (frame {frame}, word {word})"

    def sample(self, cycle: int) -> bool:
        """Look at the handshake of the edge; True when a word came.

        Raises:
            BenchError: a wrong or surplus word, valid or data changed while stalled, or valid
                outlived the reset.
        """
        self.seen = bool(self.valid.value)
        if self.seen and cycle == 1:
            raise BenchError(f"{self.name}: valid is high right after the reset")
        if not self.seen:
            if self.held is not None:
                raise BenchError(f"{self.where()}: valid fell while ready was low")
            return False
        value = self.data.value.to_unsigned() & self.mask
        if self.held is not None and value != self.held:
            raise BenchError(
                f"{self.where()}: data changed from {self.held:#x} to {value:#x} while stalled"
            )
        if not self.is_ready:
            self.held = value
            return False
        self.held = None
        if self.count >= len(self.words):
            raise BenchError(f"{self.name}: surplus word {value:#x} after {self.count} words")
        if value != self.words[self.count]:
            raise BenchError(
                f"{self.where()}: expected {self.words[self.count]:#x}, got {value:#x}, "
                f"differing bits {value ^ self.words[self.count]:#x}"
            )
        if self.first is None:
            self.first = cycle
        self.equal += value == self.words[self.count]
        self.count += 1
        if self.count % self.frame == 0:
            self.frame_ends.append(cycle)
        return True

    def drive(self, go: bool) -> None:
        """Choose what the next edge sees."""
        if go != self.is_ready:
            self.ready.value = int(go)
            self.is_ready = go


async def reset(dut: Any) -> None:
    """Hold reset for one edge and leave every input as it is: a neighbour's word that is on offer
    in that edge is lost, as the neighbour is reset in the same edge."""
    dut.ap_rst_n.value = 0
    await RisingEdge(dut.ap_clk)
    dut.ap_rst_n.value = 1


async def play(
    dut: Any, phase: dict[str, Any], frames: list[int], stop_after: int | None
) -> tuple[list[Source], list[Sink]]:
    """Reset, then stream ``frames``; with ``stop_after`` leave after that many input words.

    Raises:
        BenchError: see Sink.sample; or nothing moved for too long.
    """
    rng = random.Random(phase["seed"])
    sources = [
        Source(
            dut,
            port,
            [w for f in frames for w in PLAN["frames"][f]["inputs"][i]],
            random.Random(rng.random()),
        )
        for i, port in enumerate(PLAN["inputs"])
    ]
    sinks = [
        Sink(
            dut,
            port,
            [w for f in frames for w in PLAN["frames"][f]["outputs"][i]],
            len(PLAN["frames"][frames[0]]["outputs"][i]),
        )
        for i, port in enumerate(PLAN["outputs"])
    ]
    ports: list[Source | Sink] = [*sources, *sinks]
    pattern = PATTERNS[phase["pattern"]]
    source_go = [pattern(random.Random(rng.random())) for _ in sources]
    sink_go = [pattern(random.Random(rng.random())) for _ in sinks]
    await reset(dut)
    limit = 20 * (PLAN["cycles"] + 100)
    quiet = cycle = drained = 0
    while drained < 32:
        for source, choice in zip(sources, source_go, strict=True):
            source.drive(next(choice))
        for sink, choice in zip(sinks, sink_go, strict=True):
            # Where ready waits for valid, valid waiting for ready would never come.
            sink.drive(next(choice) and (sink.seen or not phase["ready_waits"]))
        await RisingEdge(dut.ap_clk)
        cycle += 1
        moved = [port.sample(cycle) for port in ports]
        quiet = 0 if any(moved) else quiet + 1
        if stop_after is not None and sources[0].taken >= stop_after:
            return sources, sinks
        if all(s.taken == len(s.words) for s in sources) and all(
            s.count == len(s.words) for s in sinks
        ):
            drained += 1
        elif quiet > limit:
            state = [f"{s.name} {s.count} of {len(s.words)}" for s in sinks]
            state += [f"input {i} {s.taken} of {len(s.words)}" for i, s in enumerate(sources)]
            raise BenchError(f"nothing moved for {limit} cycles; words so far: {', '.join(state)}")
    return sources, sinks


@cocotb.test()
@cocotb.parametrize(name=list(PHASES))
async def stream(dut: Any, name: str) -> None:
    """Play one phase of the plan."""
    phase = PHASES[name]
    Clock(dut.ap_clk, 10, "ns").start()
    try:
        for words in phase["reset_after"]:
            await play(dut, phase, phase["frames"], words)
        sources, sinks = await play(dut, phase, phase["frames"], None)
    except BenchError as error:
        raise BenchError(f"{PLAN['case']}: phase {name}: {error}") from None
    starts = [s.first for s in sources if s.first is not None]
    ends = [s.first for s in sinks if s.first is not None]
    lanes = [port["lanes"] for port in PLAN["outputs"]]
    REPORT[name] = {
        "values": sum(s.count * n for s, n in zip(sinks, lanes, strict=True)),
        "differing": sum((s.count - s.equal) * n for s, n in zip(sinks, lanes, strict=True)),
        "latency": min(ends) - min(starts),
        "frame_ends": [s.frame_ends for s in sinks],
    }
    Path(os.environ["ANDPOP_REPORT"]).write_text(json.dumps(REPORT))

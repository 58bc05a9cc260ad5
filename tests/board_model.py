# SPDX-License-Identifier: Apache-2.0
"""Registers of `andpop_axi` and its DMAs in Python, around any function from frames to frames.

Time passes by reads of registers; a start is taken at once where the DMA is idle. Faults can be
planted: frames that never come back, addresses at which the memory answers with an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from fake_pynq import MEMORY_BASE, MEMORY_BYTES

Frames = npt.NDArray[np.uint8]
"""(frames, bytes of a frame)"""
Function = Callable[[Frames], Sequence[Frames]]
"""From frames of the input to frames of every head."""
START, DONE, IDLE, READY = 1, 2, 4, 8
RESPONSE, MISALIGNED = 1, 2
ROOM = 64
"""Beats in the FIFO of a DMA."""


@dataclass
class Dma:
    """One DMA."""

    start: bool = False
    done: bool = False
    ready: bool = False
    busy: bool = False
    errors: int = 0
    address: int = 0
    batch: int = 0
    frames: int = 0
    still: int = 0
    taken: tuple[int, int] = (0, 0)
    """Address and batch of the work at hand."""

    def read(self, offset: int) -> int:
        """Read a register."""
        if offset == 0:
            idle = not self.busy and not self.start
            found = self.start * START | self.done * DONE | idle * IDLE | self.ready * READY
            self.done = self.ready = False
            return found
        low, high = self.address & 0xFFFF_FFFF, self.address >> 32
        return {0x10: low, 0x14: high, 0x1C: self.batch, 0x24: self.errors}.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write one."""
        if offset == 0:
            self.start = self.start or bool(value & START)
            self.take()
        elif offset == 0x10:
            self.address = self.address >> 32 << 32 | value
        elif offset == 0x14:
            self.address = value << 32 | self.address & 0xFFFF_FFFF
        elif offset == 0x1C:
            self.batch = value

    def take(self) -> None:
        """Take the start that waits."""
        if self.start and not self.busy:
            self.start, self.ready, self.busy = False, True, True
            self.taken = (self.address, self.batch)
            if self.address % 8:
                self.errors |= MISALIGNED

    def finish(self) -> None:
        """Say done."""
        self.frames += self.taken[1]
        self.done, self.busy = True, False
        self.take()


@dataclass
class ModelBoard:
    """The blocks of registers in the order of their addresses: control, input, heads.

    Attributes:
        build_hash: what the control block shows.
        function: the network.
        frame_bytes: bytes of a frame of the input, then of every head.
        latency: reads of registers that a batch takes.
        hang_after: frames that come back before the network stands still.
        bad: addresses at which the memory answers with an error.
        bites: the watchdog sees a standstill.
    """

    build_hash: str
    function: Function
    frame_bytes: Sequence[int]
    latency: int = 3
    hang_after: int | None = None
    bad: range = range(0)
    bites: bool = False
    memory: npt.NDArray[np.uint8] = field(
        default_factory=lambda: np.zeros(MEMORY_BYTES, np.uint8), repr=False
    )

    def __post_init__(self) -> None:
        self.load()

    def load(self) -> None:
        """See `Hardware.load`; the soft reset of the control block does the same."""
        self.dmas = [Dma() for _ in self.frame_bytes]
        self.waiting: list[list[Frames]] = [[] for _ in self.frame_bytes[1:]]
        self.given = self.since = 0

    def read(self, block: int, offset: int) -> int:
        """See `Hardware.read`."""
        self._advance()
        return self.dmas[block - 1].read(offset) if block else self._control(offset)

    def write(self, block: int, offset: int, value: int) -> None:
        """See `Hardware.write`."""
        if block:
            self.dmas[block - 1].write(offset, value)
        elif offset == 0x20 and value & 1:
            self.load()

    def _control(self, offset: int) -> int:
        if 0x10 <= offset < 0x20:
            part = bytes.fromhex(self.build_hash)[offset - 0x10 : offset - 0x0C]
            return int.from_bytes(part, "little")
        busy = any(dma.busy for dma in self.dmas)
        bitten = self.bites and busy and self.since > 20 * self.latency
        failed = any(dma.errors for dma in self.dmas)
        if offset < 0x40:
            heads = len(self.dmas) - 1
            return {
                0x00: int.from_bytes(b"ANDP", "little"), 0x04: 1, 0x08: heads << 8 | 1,
                0x24: failed << 2 | bitten << 1 | busy, 0x30: 20 * self.latency, 0x34: self.since,
            }.get(offset, 0)  # fmt: skip
        dma, register = self.dmas[(offset - 0x40) // 0x20], (offset - 0x40) % 0x20
        flags = dma.errors << 8 | dma.busy << 3 | dma.busy
        return {0: flags, 4: dma.frames, 8: dma.still, 12: ROOM << 16 | 5}.get(register, 0)

    def _advance(self) -> None:
        self.since += 1
        source, *sinks = self.dmas
        for dma in self.dmas:
            dma.take()
        if source.busy and not source.errors and self._reaches(source, self.frame_bytes[0]):
            frames = self._bytes(source, self.frame_bytes[0])
            room = len(frames) if self.hang_after is None else self.hang_after - self.given
            fed = frames[: max(0, room)]
            self.given += len(fed)
            for waiting, result in zip(self.waiting, self.function(fed), strict=True):
                waiting.extend(np.asarray(result))
            self.since = 0 if len(fed) else self.since
            if len(fed) == len(frames):
                source.finish()
        if self.since < self.latency:
            return
        for sink, waiting, size in zip(sinks, self.waiting, self.frame_bytes[1:], strict=True):
            if sink.busy:
                sink.still += 10
            count = sink.taken[1]
            if not sink.busy or sink.errors or len(waiting) < count:
                continue
            if self._reaches(sink, size):
                self._bytes(sink, size)[:] = waiting[:count]
                del waiting[:count]
                sink.finish()
                self.since = 0

    def _reaches(self, dma: Dma, size: int) -> bool:
        """Tell whether the memory answers well to a DMA; if not, it has an error."""
        start, end = dma.taken[0], dma.taken[0] + dma.taken[1] * size
        bad = self.bad and start < self.bad.stop and self.bad.start < end
        if bad or start < MEMORY_BASE or end > MEMORY_BASE + MEMORY_BYTES:
            dma.errors |= RESPONSE
        return not dma.errors

    def _bytes(self, dma: Dma, size: int) -> Frames:
        start = dma.taken[0] - MEMORY_BASE
        return self.memory[start : start + dma.taken[1] * size].reshape(-1, size)

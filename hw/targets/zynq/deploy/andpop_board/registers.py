# SPDX-License-Identifier: Apache-2.0
"""Registers of the control block and of a DMA, by the functions that pynq reads and writes with."""

from __future__ import annotations

import time
from typing import Any

from .errors import BoardError, WrongBuild
from .state import ERRORS, State, StreamState

MAGIC = int.from_bytes(b"ANDP", "little")
VERSION = 1
"""Of the map of the control block."""
START, DONE, IDLE = 1, 2, 4
"""Bits of a DMA's control register."""
BUSY, BITTEN, FAILED = 1, 2, 4
"""Bits of the status of the control block."""
RESET_SECONDS = 1.0
"""Within which a soft reset ends: the bus has to come to rest first."""


class Dma:
    """A DMA between memory and a stream, with the register map of FINN's.

    A start that is written while it works waits, so two batches can be under way. ``done`` is
    cleared by a read; whoever reads the control register has to count, so `poll` alone does.

    Attributes:
        name: of the cell.
        under_way: batches that were started and not seen to be done.
    """

    def __init__(self, name: str, ip: Any) -> None:
        self.name = name
        self.under_way = 0
        self.control = 0
        self._ip = ip

    def start(self, address: int, frames: int) -> None:
        """Start a batch, or let it wait behind the one at hand; ``under_way`` must be below 2."""
        self._ip.write(0x10, address & 0xFFFF_FFFF)
        self._ip.write(0x14, address >> 32)
        self._ip.write(0x1C, frames)
        self._ip.write(0x00, START)
        self.under_way += 1

    def poll(self) -> int:
        """Return ``under_way``, brought up to date."""
        self.control = self._ip.read(0x00)
        if self.control & IDLE:
            self.under_way = 0
        elif self.control & DONE and self.under_way == 2:
            # It works on the second one, so what is done is the first.
            self.under_way = 1
        return self.under_way

    def forget(self) -> None:
        """Follow a reset."""
        self.under_way = self.control = 0

    def place(self) -> tuple[int, int]:
        """Return address and frames of the last batch."""
        return self._ip.read(0x14) << 32 | self._ip.read(0x10), self._ip.read(0x1C)


class Control:
    """The control block: who the design is, how its streams are doing, the soft reset."""

    def __init__(self, ip: Any) -> None:
        self._ip = ip

    def check(self, build_hash: str, inputs: int, outputs: int) -> None:
        """Compare the loaded design with what the files say.

        Raises:
            WrongBuild: it is another one, or none of ours.
        """
        magic, version = self._ip.read(0x00), self._ip.read(0x04)
        if (magic, version) != (MAGIC, VERSION):
            raise WrongBuild(
                f"control block: found 0x{magic:08x} of version {version}, expected 0x{MAGIC:08x} "
                f"of version {VERSION}; load the bit file that lies beside settings.json"
            )
        found = self.build_hash()
        if found != build_hash:
            raise WrongBuild(
                f"build: found {found} on the board, expected {build_hash} as settings.json says; "
                "copy bit file and settings of one build, and load the bit file again"
            )
        streams = self._ip.read(0x08)
        if streams != outputs << 8 | inputs:
            raise WrongBuild(
                f"control block: found {streams & 0xFF} inputs and {streams >> 8} outputs, "
                f"expected {inputs} and {outputs}; build again"
            )

    def build_hash(self) -> str:
        """Return what the design shows of itself, in hexadecimal digits."""
        words = [self._ip.read(at) for at in range(0x10, 0x20, 4)]
        return b"".join(word.to_bytes(4, "little") for word in words).hex()

    def in_trouble(self) -> bool:
        """Tell whether the watchdog has bitten or a DMA has an error."""
        return bool(self._ip.read(0x24) & (BITTEN | FAILED))

    def reset(self) -> None:
        """Let the bus come to rest, then reset network and DMAs.

        Raises:
            BoardError: the bus does not come to rest.
        """
        self._ip.write(0x20, 1)
        end = time.monotonic() + RESET_SECONDS
        while self._ip.read(0x20) & 1:
            if time.monotonic() > end:
                raise BoardError(
                    f"reset: found the bus still at work after {RESET_SECONDS} s, expected it at "
                    "rest; load the bit file again"
                )
        self._ip.write(0x28, 3)

    def state(self, dmas: list[Dma], submitted: int, returned: int) -> State:
        """Read everything; completions are counted on the way.

        Args:
            dmas: input first, then the heads.
            submitted: frames, for `State`.
            returned: frames, for `State`.
        """
        status = self._ip.read(0x24)
        return State(
            self.build_hash(),
            bool(status & BUSY),
            bool(status & BITTEN),
            bool(status & FAILED),
            self._ip.read(0x34),
            self._ip.read(0x30),
            submitted,
            returned,
            tuple(self._stream(i, dma) for i, dma in enumerate(dmas)),
        )

    def _stream(self, index: int, dma: Dma) -> StreamState:
        flags, frames, still, beats = (
            self._ip.read(0x40 + 0x20 * index + at) for at in range(0, 0x10, 4)
        )
        dma.poll()
        address, batch = dma.place()
        return StreamState(
            dma.name,
            dma.under_way,
            dma.control,
            address,
            batch,
            tuple(name for bit, name in enumerate(ERRORS) if flags >> 8 + bit & 1),
            bool(flags & 1),
            bool(flags & 8),
            frames,
            still,
            beats & 0xFFFF,
            beats >> 16,
        )

# SPDX-License-Identifier: Apache-2.0
"""What a board says of itself: registers of the control block and of the DMAs, decoded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ERRORS = ("bad response of the memory", "misaligned address", "batch too long", "frame cut wrong")
"""Of a DMA, from bit 0 on."""


@dataclass(frozen=True)
class StreamState:
    """A DMA and its stream.

    Attributes:
        name: ``idma0``, ``odma0``, ...
        under_way: batches that were started and have not come back.
        control: register 0x00 of the DMA.
        address: of the last batch that was started.
        batch: frames of it.
        errors: what went wrong, in words.
        works: it is in the middle of a batch.
        stands_still: an input is not taken, or an output awaited, right now.
        frames: that passed since the last reset.
        still_cycles: cycles of standstill since then.
        peak: most beats that its FIFO held.
        room: beats that the FIFO can hold.
    """

    name: str
    under_way: int
    control: int
    address: int
    batch: int
    errors: tuple[str, ...]
    works: bool
    stands_still: bool
    frames: int
    still_cycles: int
    peak: int
    room: int

    def text(self) -> str:
        """Return it in one line."""
        word = "works" if self.works else "idle"
        word += ", stands still" if self.stands_still else ""
        return (
            f"{self.name}: {word}; {self.under_way} batches under way, "
            f"{self.frames} frames passed, {self.still_cycles} cycles of standstill, "
            f"FIFO {self.peak} of {self.room} beats, errors: {', '.join(self.errors) or 'none'}; "
            f"control 0x{self.control:02x}, address 0x{self.address:08x}, batch {self.batch}"
        )


@dataclass(frozen=True)
class State:
    """A board.

    Attributes:
        build_hash: what the loaded design shows of itself.
        works: a DMA works.
        watchdog: it saw a standstill.
        failed: a DMA has an error.
        quiet_cycles: cycles since something moved.
        limit_cycles: cycles of that after which the watchdog bites.
        submitted: frames that this driver sent since the last reset.
        returned: frames of these that came back.
        streams: the input, then the heads.
    """

    build_hash: str
    works: bool
    watchdog: bool
    failed: bool
    quiet_cycles: int
    limit_cycles: int
    submitted: int
    returned: int
    streams: tuple[StreamState, ...]

    @property
    def trouble(self) -> str:
        """Return what is wrong by the board's own account, empty if nothing is."""
        found = [f"{s.name}: {error}" for s in self.streams for error in s.errors]
        if self.watchdog:
            found.append("the watchdog saw a standstill")
        return ", ".join(found)

    def text(self) -> str:
        """Return it in lines."""
        lines = [
            f"build {self.build_hash}; {'works' if self.works else 'idle'}; "
            f"watchdog {'has bitten' if self.watchdog else 'is quiet'}, nothing moved for "
            f"{self.quiet_cycles} cycles of {self.limit_cycles}",
            f"frames: {self.submitted} sent, {self.returned} came back",
        ]
        return "\n".join(lines + [stream.text() for stream in self.streams])

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)

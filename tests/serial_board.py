# SPDX-License-Identifier: Apache-2.0
"""A board at a pseudo-terminal, in Python: the contract of the link, and what can go wrong."""

from __future__ import annotations

import os
import pty
import random
import select
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from andpop.hw.targets.serial.link import VERSION, Decoder, Frame, Kind, Status, Verdict


@dataclass
class Faults:
    """What goes wrong, by seeded chance.

    Attributes:
        bits_in: chance of a flipped bit in each byte that the host sends.
        bits_out: the same of each byte that the board sends.
        lost_in: chance that a byte from the host is lost.
        lost_out: chance that a byte from the board is lost.
        silent: chance that the board answers a picture with nothing.
        late: seconds that an answer takes.
        vanish: pictures after which the port vanishes once, each.
        back: the port comes back each time.
        dumb: never answers anything.
        garbage: answers every piece with noise.
        overflow: pictures that are answered with an overflow, the first ones.
        seed: of all of these.
    """

    bits_in: float = 0.0
    bits_out: float = 0.0
    lost_in: float = 0.0
    lost_out: float = 0.0
    silent: float = 0.0
    late: float = 0.0
    vanish: list[int] = field(default_factory=list)
    back: bool = True
    dumb: bool = False
    garbage: bool = False
    overflow: int = 0
    seed: int = 0


class Hurt:
    """What a bad line makes of bytes."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.random = random.Random(faults.seed)

    def on_the_way_in(self, data: bytes) -> bytes:
        """Bytes from the host."""
        return self._hurt(data, self._faults.bits_in, self._faults.lost_in)

    def on_the_way_out(self, data: bytes) -> bytes:
        """Bytes from the board."""
        return self._hurt(data, self._faults.bits_out, self._faults.lost_out)

    def _hurt(self, data: bytes, flipped: float, lost: float) -> bytes:
        hurt = bytearray()
        for byte in data:
            if self.random.random() < flipped:
                byte ^= 1 << self.random.randrange(8)
            if self.random.random() >= lost:
                hurt.append(byte)
        return bytes(hurt)


class Board:
    """A board at the other end of a pseudo-terminal; ``path`` is a link to it, as /dev has it.

    It may vanish and come back at another pseudo-terminal under the same path.
    """

    def __init__(
        self,
        path: Path,
        compute: Callable[[bytes], bytes],
        picture_bytes: int,
        result_bytes: int,
        build: bytes,
        faults: Faults | None = None,
    ) -> None:
        self.path = path
        self.taken = 0
        self.resets = 0
        self._owed: list[tuple[float, bytes]] = []
        self._compute = compute
        self._sizes = (picture_bytes, result_bytes)
        self._build = build
        self._faults = faults or Faults()
        self._hurt = Hurt(self._faults)
        self._random = self._hurt.random
        self._counts = {"pictures": 0, "results": 0, "refused": 0, "unknown": 0}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Board:
        self._plug()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self.path.is_symlink():
            self._unplug()

    def _plug(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        # Kept open, so that a host which leaves does not hang up the line.
        self._slave = slave
        os.set_blocking(self._master, False)
        self._decoder = Decoder(most=2 * self._sizes[0] + 64)
        self.path.symlink_to(os.ttyname(slave))

    def _unplug(self) -> None:
        self.path.unlink()
        os.close(self._slave)
        os.close(self._master)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._pay()
            if not select.select([self._master], [], [], 0.02)[0]:
                continue
            data = self._hurt.on_the_way_in(os.read(self._master, 4096))
            if self._faults.garbage:
                self._send(bytes(self._random.randrange(256) for _ in range(40)))
            damaged = self._decoder.damaged
            frames = [] if self._faults.dumb else self._decoder.feed(data)
            for _ in range(self._decoder.damaged - damaged):
                self._counts["refused"] += 1
                # A damaged picture: the board has streamed it already, its sequence may be wrong.
                bad = bytes(self._sizes[1]) + bytes([Verdict.CRC])
                self._send(Frame(Kind.RESULT, self._random.randrange(256), bad).encode())
            for frame in frames:
                self._answer(frame)
                if self._faults.vanish and self.taken >= self._faults.vanish[0]:
                    self._faults.vanish.pop(0)
                    self._unplug()
                    if not self._faults.back:
                        return
                    time.sleep(0.3)
                    self._plug()
                    break

    def _pay(self) -> None:
        """Send the results that have been computed for long enough."""
        while self._owed and self._owed[0][0] <= time.monotonic():
            self._send(self._owed.pop(0)[1])

    def _answer(self, frame: Frame) -> None:
        picture, result = self._sizes
        whole = frame.kind == Kind.PICTURE and len(frame.payload) == picture
        if whole and not self._faults.overflow:
            self.taken += 1
            self._counts["pictures"] += 1
            if self._random.random() < self._faults.silent:
                return
            self._counts["results"] += 1
            found = self._compute(frame.payload) + b"\x00"
            answer = Frame(Kind.RESULT, frame.sequence, found).encode()
            self._owed.append((time.monotonic() + self._faults.late, answer))
            self._pay()
        elif frame.kind == Kind.PICTURE:
            self._counts["refused"] += 1
            if len(frame.payload) == picture:
                self._faults.overflow -= 1
                verdict = Verdict.OVERFLOW
            else:
                verdict = Verdict.SHORT if len(frame.payload) < picture else Verdict.LONG
            bad = bytes(result) + bytes([verdict])
            self._send(Frame(Kind.RESULT, frame.sequence, bad).encode())
        elif frame.kind in (Kind.ASK_STATUS, Kind.RESET):
            if frame.kind == Kind.RESET:
                self.resets += 1
                self._counts = dict.fromkeys(self._counts, 0)
            status = Status(
                self._build,
                VERSION,
                picture,
                result,
                **self._counts,
                stalls=3,
                peak_in=5,
                peak_out=2,
                leds=1,
            )
            self._send(Frame(Kind.STATUS, frame.sequence, status.encode()).encode())
        else:
            self._counts["unknown"] += 1
            self._send(Frame(Kind.ERROR, frame.sequence, b"\x01").encode())

    def _send(self, data: bytes) -> None:
        left = self._hurt.on_the_way_out(data)
        while left and not self._stop.is_set():
            if select.select([], [self._master], [], 0.02)[1]:
                left = left[os.write(self._master, left) :]

# SPDX-License-Identifier: Apache-2.0
"""The host's end of ``serial_bench.sv``: frames by the book, random gaps, what must be answered."""

from __future__ import annotations

import functools
import random
import struct
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from andpop.hw.targets.serial.network import library
from andpop.sim import verilator
from andpop.sim.model import Model

END, ESC = 0xC0, 0xDB
PICTURE, STATUS, RESET = 1, 2, 3
CRC, SHORT, LONG, LOST, BROKEN, GONE = 1, 2, 4, 8, 16, 32
WORDS = 12
BROKEN_BYTE = -1
"""In a list of bytes: one whose stop bit was low."""
HASH = bytes(range(16))
COUNTERS = ("good", "sent", "refused", "strange", "stalls", "rx_peak", "tx_peak")


def stuff(content: bytes) -> bytes:
    """One frame on the line."""
    escaped = b"".join(
        {END: b"\xdb\xdc", ESC: b"\xdb\xdd"}.get(byte, bytes([byte])) for byte in content
    )
    return bytes([END]) + escaped + bytes([END])


def content(kind: int, sequence: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """A frame before it is stuffed."""
    said = len(payload) if length is None else length
    text = struct.pack("<BBI", kind, sequence, said) + payload
    return text + struct.pack("<I", zlib.crc32(text))


def frame(kind: int, sequence: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """A frame on the line."""
    return stuff(content(kind, sequence, payload, length))


def picture(seed: int) -> bytes:
    """A picture of the bench, every byte that means something on the line among them."""
    rng = random.Random(seed)
    return bytes(rng.choice((END, ESC, 0xDC, 0xDD, rng.randrange(256))) for _ in range(2 * WORDS))


def answer(pixels: bytes) -> bytes:
    """What the bench's network says of a picture."""
    words = struct.unpack(f"<{WORDS}H", pixels)
    total = sum(word * (place + 1) for place, word in enumerate(words)) & 0xFFFFFFFF
    return struct.pack(f"<I{WORDS // 2}H", total, *words[1::2])


@dataclass(frozen=True)
class Answer:
    """A frame of the board."""

    kind: int
    sequence: int
    payload: bytes

    @property
    def verdict(self) -> int:
        """Of a result."""
        assert self.kind == 0x81 and len(self.payload) == 4 + WORDS + 1
        return self.payload[-1]

    @property
    def result(self) -> bytes:
        """Of a result, without its verdict."""
        return self.payload[:-1]

    @property
    def code(self) -> int:
        """Of an error."""
        assert self.kind == 0x83 and len(self.payload) == 1
        return self.payload[0]

    @property
    def counters(self) -> dict[str, int]:
        """Of a status."""
        assert self.kind == 0x82 and len(self.payload) == 55
        version, pixels, result, *counts = struct.unpack("<HIIIIIIIII", self.payload[16:54])
        assert (self.payload[:16], version) == (HASH, 1)
        assert (pixels, result) == (2 * WORDS, 4 + WORDS)
        return dict(zip(COUNTERS, counts, strict=True))


def read(line: Iterable[int]) -> list[Answer]:
    """The frames in what the board has sent; every one of them must be whole."""
    found = []
    for piece in bytes(line).split(bytes([END])):
        if not piece:
            continue
        text = piece.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
        kind, sequence, length = struct.unpack("<BBI", text[:6])
        assert len(text) == length + 10
        assert zlib.crc32(text[:-4]) == struct.unpack("<I", text[-4:])[0]
        found.append(Answer(kind, sequence, text[6:-4]))
    return found


@functools.cache
def build() -> Path:
    """The compiled bench."""
    bench = Path(__file__).parent / "serial_bench.sv"
    return verilator.build([*library(), bench], "serial_bench", verilator_flags=["--assert"])


class Line:
    """A running bench.

    Args:
        seed: of gaps and standstills.
        give: chance that the host sends a byte in a cycle.
        take: chance that it takes one.
        move: chance that each side of the network moves.
        polite: waits for room in the receiver, as a UART cannot.
    """

    def __init__(
        self, seed: int = 0, give: float = 1.0, take: float = 1.0, move: float = 1.0,
        polite: bool = True,
    ) -> None:  # fmt: skip
        self.model = Model(build())
        self.rng = random.Random(seed)
        self.give, self.take, self.polite = give, take, polite
        self.takes = self.sums = self.words = move  # of the network's sides
        self.out: list[int] = []
        self.stalls = 0
        for port in ("uart_i", "rx_valid_i", "rx_broken_i", "rx_data_i", "tx_ready_i", "move_i"):
            self.model.set(port, 0)
        self.model.set("rx_i", 1)
        self.reset()

    def reset(self) -> None:
        """Press the button."""
        self.model.set("rst_ni", 0)
        self.model.step(4)
        self.model.set("rst_ni", 1)
        self.model.step(1)

    def send(self, line: Iterable[int], quiet: int = 600) -> list[Answer]:
        """Send bytes, wait until the board has said nothing for ``quiet`` cycles; its frames."""
        self.out = []
        self.feed(line, quiet)
        return read(self.out)

    def feed(self, line: Iterable[int], quiet: int = 0) -> None:
        """Send bytes, then wait; ``out`` gets what the board says."""
        waiting, silence, model, rng = deque(line), 0, self.model, self.rng
        while waiting or silence < quiet:
            given = bool(waiting) and rng.random() < self.give
            broken = given and waiting[0] == BROKEN_BYTE
            model.set("rx_valid_i", given and not broken)
            model.set("rx_broken_i", broken)
            if given:
                model.set("rx_data_i", waiting[0] & 0xFF)
            ready = rng.random() < self.take
            model.set("tx_ready_i", ready)
            chances = (self.takes, self.sums, self.words)
            model.set("move_i", sum((rng.random() < p) << i for i, p in enumerate(chances)))
            model.eval()
            if given and (model.get("rx_ready_o") or not self.polite):
                waiting.popleft()
            silence += 1
            if ready and model.get("tx_valid_o"):
                self.out.append(model.get("tx_data_o"))
                silence = 0
            model.step()
        model.set("rx_valid_i", 0)
        model.set("rx_broken_i", 0)

    def status(self) -> dict[str, int]:
        """Ask for the counters."""
        (found,) = self.send(frame(STATUS, 77))
        assert found.sequence == 77
        return found.counters

    def uart(
        self, line: Iterable[int], clocks: float, quiet: int, spike: range = range(0)
    ) -> list[Answer]:
        """Send bytes through the UART at its pins, a bit in ``clocks`` cycles; its frames.

        Args:
            line: bytes, BROKEN_BYTE for one without a stop bit.
            clocks: cycles of a bit of the host, which need not be the board's to the last part.
            quiet: bits to wait behind them.
            spike: cycles in which the line is turned round.
        """
        bits: list[int] = [1, 1]
        for byte in line:
            value = byte & 0xFF
            bits += [0, *((value >> i) & 1 for i in range(8)), int(byte != BROKEN_BYTE)]
            if byte == BROKEN_BYTE:
                bits += [1]
        bits += [1] * quiet
        self.model.set("uart_i", 1)
        self.model.set("move_i", 7)
        heard: list[int] = []
        for cycle in range(int(len(bits) * clocks)):
            self.model.set("rx_i", bits[int(cycle / clocks)] ^ (cycle in spike))
            self.model.step()
            heard.append(self.model.get("tx_o"))
        self.model.set("uart_i", 0)
        return read(bytes_of(heard, 27 / 3))


def bytes_of(heard: list[int], clocks: float) -> list[int]:
    """The bytes on a line that was looked at in every cycle."""
    found: list[int] = []
    at = 0
    while True:
        try:
            start = heard.index(0, at)
        except ValueError:
            return found
        middle = [heard[int(start + clocks * (i + 0.5))] for i in range(10)]
        assert middle[0] == 0 and middle[9] == 1
        found.append(sum(bit << i for i, bit in enumerate(middle[1:9])))
        at = int(start + clocks * 9.5)


class Wire:
    """A UART at the pins of a whole chip.

    Args:
        model: the chip.
        clock: its clock pin, as it drives the network.
        rx: the pin that it listens to.
        tx: the pin that it speaks on.
        clocks: cycles of a bit.
    """

    def __init__(self, model: Model, clock: str, rx: str, tx: str, clocks: float) -> None:
        self.model, self.clock, self.rx, self.tx, self.clocks = model, clock, rx, tx, clocks
        model.set(rx, 1)

    def _step(self) -> int:
        self.model.set(self.clock, 1)
        self.model.eval()
        self.model.set(self.clock, 0)
        self.model.eval()
        return self.model.get(self.tx)

    def wait(self, cycles: int) -> None:
        """Let time pass."""
        for _ in range(cycles):
            self._step()

    def send(self, line: bytes, quiet_bits: int) -> list[int]:
        """Send bytes, wait, return the bytes that were said meanwhile."""
        bits = [b for byte in line for b in (0, *((byte >> i) & 1 for i in range(8)), 1)]
        bits += [1] * quiet_bits
        heard = []
        for cycle in range(int(len(bits) * self.clocks)):
            self.model.set(self.rx, bits[int(cycle / self.clocks)])
            heard.append(self._step())
        return bytes_of(heard, self.clocks)

# SPDX-License-Identifier: Apache-2.0
"""What goes over the serial link: frames between a host and a board. README.md has the contract.

A frame is type, sequence, length, payload and CRC-32, little endian, stuffed as SLIP (RFC 1055)
does, with an END before and behind it: whatever is damaged or lost costs one frame, no more.
"""

from __future__ import annotations

import enum
import struct
import zlib
from dataclasses import dataclass

END, ESC, ESC_END, ESC_ESC = b"\xc0", b"\xdb", b"\xdc", b"\xdd"
VERSION = 1
"""Version of the protocol, which a board tells in its status."""
WINDOW = 2
"""Pictures that may be unanswered: the link has no flow control."""
HASH_BYTES = 16
"""Bytes of a build's SHA-256 that a board knows."""

_HEAD = struct.Struct("<BBI")
_CRC = struct.Struct("<I")
_STATUS = struct.Struct(f"<{HASH_BYTES}sHII7IB")


class Kind(enum.IntEnum):
    """Type of a frame."""

    PICTURE = 0x01
    """To the board: the words of a picture. It is answered by RESULT."""
    ASK_STATUS = 0x02
    """To the board: it is answered by STATUS."""
    RESET = 0x03
    """To the board: drop what is inside, clear the counters. It is answered by STATUS."""
    RESULT = 0x81
    """From the board: the words of a picture's results, then a verdict."""
    STATUS = 0x82
    """From the board."""
    ERROR = 0x83
    """From the board: a frame that has no other answer, with its sequence where it is known."""


class Verdict(enum.IntFlag):
    """What was wrong with a picture; 0 for a good one. The words of another must not be used."""

    CRC = 1
    SHORT = 2
    LONG = 4
    OVERFLOW = 8
    FRAMING = 16
    RESET = 32

    @property
    def words(self) -> str:
        """For people."""
        known = [text for bit, text in _VERDICTS.items() if bit & self]
        return ", ".join(known) or f"verdict {int(self)}"


_VERDICTS = {
    Verdict.CRC: "wrong checksum",
    Verdict.SHORT: "too short",
    Verdict.LONG: "too long",
    Verdict.OVERFLOW: "the board's receiver overflowed",
    Verdict.FRAMING: "framing error of the UART",
    Verdict.RESET: "reset in the middle",
}

ERRORS = {1: "unknown type", 2: "wrong checksum", 3: "wrong length", 4: "receiver overflowed"}
"""Codes of an ERROR."""


@dataclass(frozen=True)
class Frame:
    """One frame that arrived whole."""

    kind: int
    """Of ``Kind``, unless the other side knows more."""
    sequence: int
    payload: bytes

    def encode(self) -> bytes:
        """Return the bytes on the wire, an END at both ends."""
        body = _HEAD.pack(self.kind, self.sequence, len(self.payload)) + self.payload
        body += _CRC.pack(zlib.crc32(body))
        return END + body.replace(ESC, ESC + ESC_ESC).replace(END, ESC + ESC_END) + END


class Decoder:
    """Bytes in, in any pieces; frames out. What is no frame is dropped and counted.

    Attributes:
        damaged: pieces between two ENDs that were no frame.
    """

    def __init__(self, most: int) -> None:
        """Args:
        most: largest payload in bytes; what is longer is dropped as it comes.
        """
        # Every byte may have been stuffed into two.
        self._most = 2 * (_HEAD.size + most + _CRC.size)
        self._piece = bytearray()
        self.damaged = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that end in ``data``."""
        *ended, rest = data.split(END)
        frames = []
        for piece in ended:
            self._take(piece)
            frame = _frame(bytes(self._piece))
            if frame is not None:
                frames.append(frame)
            elif self._piece:
                self.damaged += 1
            self._piece.clear()
        self._take(rest)
        return frames

    def _take(self, piece: bytes) -> None:
        # One byte too many is kept: enough to know that the piece is no frame.
        self._piece += piece[: max(0, self._most + 1 - len(self._piece))]


def _frame(piece: bytes) -> Frame | None:
    """Return the frame between two ENDs, None for anything else."""
    # An ESC that means nothing stays; the checksum refuses it.
    body = piece.replace(ESC + ESC_END, END).replace(ESC + ESC_ESC, ESC)
    if len(body) < _HEAD.size + _CRC.size:
        return None
    kind, sequence, length = _HEAD.unpack_from(body)
    told = _CRC.unpack_from(body, len(body) - _CRC.size)[0]
    body = body[: -_CRC.size]
    if len(body) != _HEAD.size + length or zlib.crc32(body) != told:
        return None
    return Frame(kind, sequence, body[_HEAD.size :])


@dataclass(frozen=True)
class Status:
    """What a board tells of itself; counters are those since its last reset.

    Attributes:
        build: hash of the build that it was made of.
        version: of the protocol.
        picture_bytes: bytes of a picture.
        result_bytes: bytes of a picture's results, without the verdict.
        pictures: pictures that were accepted.
        results: results sent.
        refused: pictures whose verdict was not 0.
        unknown: frames of an unknown type, or damaged ones that were no picture.
        stalls: cycles in which a byte waited for the network.
        peak_in: most bytes that the receiver's FIFO held.
        peak_out: most bytes that the sender's FIFO held.
        leds: state of the LEDs, one bit each.
    """

    build: bytes
    version: int
    picture_bytes: int
    result_bytes: int
    pictures: int
    results: int
    refused: int
    unknown: int
    stalls: int
    peak_in: int
    peak_out: int
    leds: int

    def encode(self) -> bytes:
        """Return the payload of a STATUS."""
        return _STATUS.pack(*self.__dict__.values())

    @staticmethod
    def decode(payload: bytes) -> Status | None:
        """Read the payload of a STATUS; None where it is none of this version's size."""
        return Status(*_STATUS.unpack(payload)) if len(payload) == _STATUS.size else None

# SPDX-License-Identifier: Apache-2.0
"""Frames of the serial link: round trips, damage at every byte, getting back into step."""

from __future__ import annotations

import random
import zlib

import pytest
from andpop.hw.targets.serial.link import (
    END,
    ESC,
    ESC_END,
    ESC_ESC,
    Decoder,
    Frame,
    Kind,
    Status,
    Verdict,
)

HARD = (
    b"",
    b"\x00",
    END,
    ESC,
    END * 5,
    ESC * 5,
    ESC_END + ESC_ESC,
    ESC + ESC_END + ESC + ESC_ESC,
    ESC + END,
    bytes(range(256)),
)


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def drawn(rng: random.Random) -> Frame:
    payload = bytes(rng.choice(b"\xc0\xdb\xdc\xdd\x00\x55") for _ in range(rng.randrange(40)))
    return Frame(rng.choice(list(Kind)), rng.randrange(256), payload)


def test_a_frame_on_the_wire() -> None:
    """Byte by byte, against the contract."""
    body = bytes([0x81, 0xC0, 2, 0, 0, 0, 0xDB, 7])
    crc = zlib.crc32(body).to_bytes(4, "little")
    stuffed = bytes([0x81, 0xDB, 0xDC, 2, 0, 0, 0, 0xDB, 0xDD, 7])
    assert Frame(Kind.RESULT, 0xC0, b"\xdb\x07").encode() == END + stuffed + crc + END
    assert not set(crc) & {0xC0, 0xDB}  # else they would have to be stuffed here too


@pytest.mark.parametrize("payload", HARD)
def test_hard_payloads_come_back(payload: bytes) -> None:
    frame = Frame(Kind.PICTURE, 0xDB, payload)
    decoder = Decoder(most=256)
    assert decoder.feed(frame.encode()) == [frame]
    assert decoder.damaged == 0


@pytest.mark.parametrize("seed", range(20))
def test_frames_come_back_however_they_are_cut(seed: int) -> None:
    rng = random.Random(seed)
    frames = [drawn(rng) for _ in range(50)]
    decoder = Decoder(most=64)
    found: list[Frame] = []
    for piece in pieces(b"".join(frame.encode() for frame in frames), rng):
        found += decoder.feed(piece)
    assert found == frames and decoder.damaged == 0


def test_every_damaged_byte_costs_its_frame_alone() -> None:
    """Each byte replaced by every other value, left out, or doubled: never another frame."""
    rng = random.Random(7)
    before, frame, after = (
        Frame(Kind.RESULT, 1, b"before"),
        Frame(Kind.RESULT, 2, bytes(rng.randrange(256) for _ in range(12)) + END + ESC),
        Frame(Kind.RESULT, 3, b"after"),
    )
    good = frame.encode()
    tried = 0
    for place in range(len(good)):
        wrongs = [good[:place] + bytes([v]) + good[place + 1 :] for v in range(256)]
        wrongs += [good[:place] + good[place + 1 :], good[: place + 1] + good[place:]]
        for wrong in wrongs:
            decoder = Decoder(most=64)
            found = decoder.feed(before.encode() + wrong + after.encode())
            # A damaged END at the front or the back takes a neighbour along only if it was the
            # only one between them: there are two.
            assert [f for f in found if f.sequence != 2] == [before, after]
            assert all(f == frame for f in found if f.sequence == 2)
            tried += 1
    assert tried > 5000


def test_bursts_never_make_a_frame() -> None:
    rng = random.Random(3)
    for _ in range(2000):
        frame = drawn(rng)
        good = bytearray(frame.encode())
        start = rng.randrange(len(good))
        for place in range(start, min(len(good), start + rng.randrange(1, 9))):
            good[place] = rng.randrange(256)
        assert all(found == frame for found in Decoder(most=64).feed(bytes(good)))


def test_garbage_before_a_frame_is_dropped() -> None:
    rng = random.Random(5)
    frame = Frame(Kind.STATUS, 9, b"here")
    for _ in range(500):
        garbage = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 300)))
        decoder = Decoder(most=64)
        assert decoder.feed(garbage + frame.encode()) == [frame]


def test_a_frame_without_end_is_not_kept() -> None:
    decoder = Decoder(most=4)
    for _ in range(1000):
        assert decoder.feed(b"\x00" * 1000) == []
    assert len(decoder._piece) < 100
    frame = Frame(Kind.RESULT, 0, b"1234")
    assert decoder.feed(frame.encode()) == [frame]
    assert decoder.damaged == 1


def test_a_length_that_is_not_the_payloads_is_refused() -> None:
    for length in (0, 3, 5, 2**32 - 1):
        body = bytes([0x81, 0]) + length.to_bytes(4, "little") + b"abcd"
        wire = END + body + zlib.crc32(body).to_bytes(4, "little") + END
        assert Decoder(most=64).feed(wire) == []


def test_a_status_comes_back() -> None:
    status = Status(bytes(range(16)), 1, 4096, 1, 10, 9, 8, 7, 6, 5, 4, 0xA5)
    payload = status.encode()
    assert len(payload) == 16 + 2 + 4 + 4 + 7 * 4 + 1
    assert payload[16:22] == bytes([1, 0, 0, 16, 0, 0]) and payload[-1] == 0xA5
    assert Status.decode(payload) == status
    assert Status.decode(payload + b"\x00") is None and Status.decode(payload[:-1]) is None


def test_verdicts_are_told_in_words() -> None:
    assert (Verdict.CRC | Verdict.SHORT).words == "wrong checksum, too short"
    assert Verdict(64).words == "verdict 64"

# SPDX-License-Identifier: Apache-2.0
"""The board's side of the serial link in Verilator: never a wrong answer, always a report."""

from __future__ import annotations

import random

import pytest
from serial_line import (
    BROKEN,
    BROKEN_BYTE,
    CRC,
    END,
    GONE,
    LONG,
    LOST,
    PICTURE,
    RESET,
    SHORT,
    STATUS,
    WORDS,
    Answer,
    Line,
    answer,
    content,
    frame,
    picture,
    read,
    stuff,
)

pytestmark = pytest.mark.sim


def good(found: Answer, sequence: int, pixels: bytes) -> bool:
    return (found.sequence, found.verdict, found.result) == (sequence, 0, answer(pixels))


def test_good_pictures_with_gaps_and_back_pressure() -> None:
    for seed, (give, take, move) in enumerate(
        [(1, 1, 1), (0.3, 1, 1), (1, 0.2, 1), (0.7, 0.6, 0.3)]
    ):
        line = Line(seed, give, take, move)
        pictures = [picture(100 * seed + i) for i in range(12)]
        found = line.send(b"".join(frame(PICTURE, i + 3, p) for i, p in enumerate(pictures)))
        assert len(found) == 12
        assert all(good(f, i + 3, p) for i, (f, p) in enumerate(zip(found, pictures, strict=True)))
        counters = line.status()
        assert [counters[k] for k in ("good", "sent", "refused", "strange")] == [12, 12, 0, 0]
        assert 0 < counters["rx_peak"] <= 2048 and (counters["tx_peak"] > 20) == (take < 0.5)
        assert (counters["stalls"] > 0) == (move < 1)


def test_status_tells_the_build_and_the_network() -> None:
    line = Line()
    assert not any(n for name, n in line.status().items() if "peak" not in name)
    line.send(frame(PICTURE, 5, picture(5)))
    (found,) = line.send(frame(STATUS, 200))
    assert found.sequence == 200
    assert found.counters["good"] == 1
    assert found.payload[54] & 0b0100_1110 == 0b0000_0110  # a good picture, a result, no other


def test_every_single_bit_that_flips_is_reported() -> None:
    pixels = picture(1)
    line = Line()
    text = content(PICTURE, 9, pixels)
    for bit in range(0, 8 * len(text), 3):
        damaged = bytearray(text)
        damaged[bit // 8] ^= 1 << bit % 8
        found = line.send(stuff(bytes(damaged)) + frame(PICTURE, 10, pixels))
        assert len(found) == 2, f"bit {bit}"
        one, other = found
        assert one.code in (2, 3) if one.kind == 0x83 else one.verdict & CRC, f"bit {bit}"
        assert good(other, 10, pixels), f"bit {bit}"


@pytest.mark.parametrize("seed", range(6))
def test_random_damage_of_the_line(seed: int) -> None:
    """Bits flip, bytes vanish and come twice: a good verdict is a right answer, and whoever was
    not damaged is answered."""
    rng = random.Random(seed)
    line = Line(seed, give=0.8, take=0.8, move=0.7)
    pictures = {i + 1: picture(1000 * seed + i) for i in range(40)}
    sent: list[int] = []
    whole = []
    for sequence, pixels in pictures.items():
        piece = list(frame(PICTURE, sequence, pixels))
        damaged = rng.random() < 0.5
        for _ in range(rng.randrange(1, 4) if damaged else 0):
            at = rng.randrange(1, len(piece) - 1)
            kind = rng.randrange(4)
            if kind == 0:
                piece[at] ^= 1 << rng.randrange(8) if piece[at] >= 0 else 0
            elif kind == 1:
                del piece[at]
            elif kind == 2:
                piece.insert(at, piece[at])
            else:
                piece[at] = BROKEN_BYTE
        whole += [] if damaged else [sequence]
        sent += piece
    found = line.send(sent)
    results = [f for f in found if f.kind == 0x81]
    for result in results:
        if result.verdict == 0:
            assert result.result == answer(pictures[result.sequence])
    accepted = [f.sequence for f in results if f.verdict == 0]
    assert set(whole) <= set(accepted)
    counters = line.status()
    assert counters["good"] == len(accepted)
    assert counters["refused"] == len(results) - len(accepted)
    assert counters["strange"] == len(found) - len(results)
    assert counters["sent"] == len(results)


@pytest.mark.parametrize("kept", [0, 1, 23, 24, 26])
def test_a_short_picture_is_completed(kept: int) -> None:
    pixels = picture(2)
    line = Line(move=0.5)
    cut = stuff(content(PICTURE, 4, pixels)[: 6 + kept])
    found = line.send(cut + frame(PICTURE, 5, pixels))
    assert found[0].verdict & SHORT and found[0].sequence == 4
    assert found[0].result == answer(pixels[:kept].ljust(2 * WORDS, b"\0"))
    assert good(found[1], 5, pixels) and len(found) == 2


def test_a_long_picture_is_cut() -> None:
    pixels = picture(3)
    line = Line()
    for more in (1, 2, 100):
        longer = stuff(content(PICTURE, 4, pixels) + bytes(more))
        found = line.send(longer + frame(PICTURE, 5, pixels))
        assert found[0].verdict & LONG and found[0].sequence == 4
        assert good(found[1], 5, pixels) and len(found) == 2


def test_a_byte_without_stop_bit_spoils_its_picture_alone() -> None:
    pixels = picture(4)
    line = Line()
    whole = list(frame(PICTURE, 4, pixels))
    for at in (9, 20, len(whole) - 2):
        damaged = [*whole[:at], BROKEN_BYTE, *whole[at + 1 :]]
        found = line.send([*damaged, *frame(PICTURE, 5, pixels)])
        assert found[0].verdict & BROKEN and found[0].sequence == 4
        assert good(found[1], 5, pixels) and len(found) == 2


def test_what_is_no_picture_of_this_network_begins_none() -> None:
    line = Line()
    pixels = picture(5)
    cases = [
        (frame(9, 1), 1, 1),
        (frame(0x81, 2, b"abc"), 2, 1),
        (frame(PICTURE, 3, pixels[:-1]), 3, 3),
        (frame(PICTURE, 4, pixels + b"1"), 4, 3),
        (frame(PICTURE, 5), 5, 3),
        (frame(STATUS, 6, b"1"), 6, 3),
        (frame(RESET, 7, b"12345678901"), 7, 3),
        (frame(STATUS, 8, b"", length=1), 8, 3),
        (stuff(content(STATUS, 9)[:-1]), 9, 2),
        (stuff(content(STATUS, 10)[:-1] + b"\0"), 10, 2),
        (stuff(b"\x02"), 0, 2),
        (bytes([END, 0xDB, 0x01, END]), 0, 2),
    ]
    for sent, sequence, code in cases:
        (found,) = line.send(sent)
        assert (found.sequence, found.code) == (sequence, code)
    assert line.send(bytes([END] * 50)) == []
    counters = line.status()
    assert (counters["strange"], counters["good"], counters["refused"]) == (len(cases), 0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_a_flood_is_reported_and_ends(seed: int) -> None:
    """The host sends without a window while the network stands, or is slower than the line."""
    line = Line(seed, polite=False)
    pictures = {i: picture(i) for i in range(1, 201)}
    line.takes = 0.05 * seed
    line.feed(b"".join(frame(PICTURE, i, p) for i, p in pictures.items()))
    line.takes = 0.6
    found = read(line.out) + line.send(b"", quiet=5000) + line.send(bytes([END]))
    results = [f for f in found if f.kind == 0x81]
    for result in results:
        if result.verdict == 0:
            assert result.result == answer(pictures[result.sequence])
    lost = [f for f in found if (f.verdict & LOST if f.kind == 0x81 else f.code == 4)]
    assert lost and len(results) < 200
    counters = line.status()
    assert counters["rx_peak"] == 2048
    assert counters["good"] + counters["refused"] == counters["sent"] == len(results)
    assert good(line.send(frame(PICTURE, 250, pictures[1]))[-1], 250, pictures[1])


def test_errors_without_end_hold_the_receiver_and_lose_nothing() -> None:
    line = Line(take=0.02)
    found = line.send(b"".join(frame(9, i) for i in range(1, 61)), quiet=3000)
    assert [(f.sequence, f.code) for f in found] == [(i, 1) for i in range(1, 61)]


def test_reset_answers_what_is_owed_then_the_status() -> None:
    line = Line()
    line.take = 0.0
    line.feed(b"".join(frame(PICTURE, i, picture(i)) for i in range(1, 5)), quiet=300)
    line.sums = 0.0
    found = line.send(frame(PICTURE, 5, picture(5)) + frame(RESET, 6))
    assert found == []
    line.take = 1.0
    found = line.send(b"")
    assert [f.sequence for f in found] == [1, 2, 3, 4, 5, 6]
    assert all(good(f, f.sequence, picture(f.sequence)) for f in found[:4])
    assert found[4].verdict == GONE and not any(found[4].result)
    assert [found[5].counters[k] for k in ("good", "sent", "refused", "strange")] == [0] * 4
    line.sums = 1.0
    assert good(line.send(frame(PICTURE, 4, picture(4)))[0], 4, picture(4))


def test_a_network_that_hangs_is_reset_and_reported() -> None:
    pixels = picture(1)
    for cut in (len(frame(PICTURE, 1, pixels)), 20):
        line = Line()
        line.takes = 0.0
        sent = frame(PICTURE, 1, pixels)[:cut] + frame(STATUS, 2)
        found = line.send(sent, quiet=6000)
        assert found[0].sequence == 1 and found[0].verdict & LOST and found[0].verdict & GONE
        assert [f.code for f in found[1:] if f.kind == 0x83] == [4]
        line.takes = 1.0
        assert good(line.send(frame(PICTURE, 3, pixels))[-1], 3, pixels)
        assert line.status()["refused"] == 1


def test_a_network_that_answers_nothing_can_be_reset() -> None:
    line = Line()
    line.sums = 0.0
    line.feed(frame(PICTURE, 1, picture(1)) * 20, quiet=9000)
    found = read(line.out)
    assert found and all(f.verdict & GONE for f in found if f.kind == 0x81)
    found = line.send(frame(RESET, 3))
    line.sums = 1.0
    assert good(line.send(frame(PICTURE, 4, picture(4)))[0], 4, picture(4))


@pytest.mark.parametrize("seed", range(4))
def test_reset_at_any_time_leaves_nothing_behind(seed: int) -> None:
    rng = random.Random(seed)
    line = Line(seed, give=0.9, take=0.5, move=0.4)
    for _ in range(12):
        pixels = [picture(rng.randrange(10**6)) for _ in range(3)]
        sent = b"".join(frame(PICTURE, i + 1, p) for i, p in enumerate(pixels))
        cut = rng.randrange(1, len(sent))
        found = line.send(sent[:cut] + frame(RESET, 99) + frame(PICTURE, 100, pixels[0]))
        assert found[-2].sequence == 99 and found[-2].counters["sent"] == 0
        assert good(found[-1], 100, pixels[0])
        for result in found[:-2]:
            if result.kind == 0x81 and result.verdict == 0:
                assert result.result == answer(pixels[result.sequence - 1])


def test_the_button_in_the_middle_of_a_frame() -> None:
    line = Line(take=0.5, move=0.5)
    pixels = picture(8)
    sent = frame(PICTURE, 8, pixels)
    for cut in (1, 5, 8, 20, len(sent) - 1):
        line.feed(sent[:cut])
        line.reset()
        found = line.send(sent[cut:] + frame(PICTURE, 9, pixels))
        assert good(found[-1], 9, pixels)
        assert all(f.kind == 0x83 or good(f, 8, pixels) for f in found[:-1])


@pytest.mark.parametrize("drift", [0.98, 1.0, 1.02])
def test_the_uart_at_its_pins(drift: float) -> None:
    """Nine clocks to a bit, the host's clock two percent off: what such bridges may be."""
    line = Line()
    pixels = picture(6)
    sent = [*frame(PICTURE, 1, pixels), *frame(STATUS, 2)]
    first, second = line.uart(sent, 9 * drift, 1200)
    results = {f.kind: f for f in (first, second)}
    assert good(results[0x81], 1, pixels)
    assert results[0x82].sequence == 2


def test_the_uart_reports_a_missing_stop_bit_and_forgets_a_spike() -> None:
    line = Line()
    pixels = picture(7)
    whole = list(frame(PICTURE, 1, pixels))
    (found,) = line.uart([*whole[:12], BROKEN_BYTE, *whole[13:]], 9, 400)
    assert found.verdict & BROKEN
    in_a_bit = 9 * 2 + 9 * 10 * 3 + 31
    for spike in (range(5, 8), range(in_a_bit, in_a_bit + 1)):
        (found,) = line.uart(whole, 9, 400, spike=spike)
        assert good(found, 1, pixels)


def test_the_bench_sees_wrong_answers() -> None:
    assert answer(picture(1)) != answer(picture(2))
    assert len(answer(picture(1))) == 4 + WORDS
    with pytest.raises(AssertionError):
        Line().send(frame(9, 1))[0].verdict  # noqa: B018

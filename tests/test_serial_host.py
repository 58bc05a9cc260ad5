# SPDX-License-Identifier: Apache-2.0
"""The host's side of the link at a pseudo-terminal: whatever goes wrong, no result is wrong."""

from __future__ import annotations

import contextlib
import hashlib
import math
import random
import time
from pathlib import Path

import pytest
from andpop.hw.targets.serial import host as hosts
from andpop.hw.targets.serial.host import Expected, Host, LinkError, Patience
from andpop.hw.targets.serial.port import PortError, SerialPort
from serial_board import Board, Faults

BUILD = bytes(range(16))
PICTURE, RESULT = 300, 7
HARD = b"\xc0\xdb\xdc\xdd\x00\xff"


def compute(picture: bytes) -> bytes:
    return hashlib.sha256(picture).digest()[:RESULT]


def drawn(count: int) -> list[bytes]:
    rng = random.Random(count)
    return [bytes(rng.choice(HARD) for _ in range(PICTURE)) for _ in range(count)]


def board(folder: Path, faults: Faults | None = None, build: bytes = BUILD) -> Board:
    return Board(folder / "tty", compute, PICTURE, RESULT, build, faults)


def host(at: Path, result: float = 0.3, status: float = 1.0, pace: float = math.inf) -> Host:
    expected = Expected(BUILD, PICTURE, RESULT, "build/x", pace)
    patience = Patience(result, status)
    return Host(lambda: SerialPort(str(at), 3_000_000), expected, patience, f"{at}, 3000000 baud")


def exchange(at: Path, count: int) -> Host:
    """Send pictures, look at every result; returns the host, closed."""
    pictures, found = drawn(count), dict[int, bytes]()

    def take(index: int, result: bytes) -> None:
        assert index not in found
        found[index] = result

    open_host = host(at)
    try:
        open_host.run(pictures.__getitem__, [f"picture {i}" for i in range(count)], take)
    finally:
        open_host.close()
    assert [found[i] for i in range(count)] == [compute(p) for p in pictures]
    return open_host


def test_pictures_go_there_and_results_come_back(tmp_path: Path) -> None:
    with board(tmp_path) as there:
        open_host = host(there.path)
        found: list[int] = []
        open_host.run(drawn(5).__getitem__, list("abcde"), lambda index, _: found.append(index))
        status = open_host.status()
        open_host.close()
    assert found == list(range(5))
    assert (status.pictures, status.results, status.refused) == (5, 5, 0)
    assert open_host.finish() == hosts.Troubles()
    assert there.resets == 1


@pytest.mark.parametrize(
    "faults",
    [
        Faults(bits_in=1e-4, seed=11),
        Faults(bits_out=4e-3, seed=2),
        Faults(lost_in=1e-4, seed=13),
        Faults(lost_out=4e-3, seed=4),
        Faults(silent=0.05, seed=5),
        Faults(bits_in=1e-4, bits_out=1e-3, lost_in=1e-4, lost_out=1e-3, silent=0.02, seed=6),
    ],
    ids=["bits in", "bits out", "lost in", "lost out", "silence", "all of them"],
)
def test_a_hundred_pictures_are_exact_whatever_gets_lost(tmp_path: Path, faults: Faults) -> None:
    with board(tmp_path, faults) as there:
        troubles = exchange(there.path, 100).finish()
    assert troubles.resent > 0


def test_a_port_that_vanishes_and_comes_back(tmp_path: Path) -> None:
    with board(tmp_path, Faults(vanish=[10, 31, 32])) as there:
        troubles = exchange(there.path, 60).finish()
    assert troubles.reconnects == 3 and troubles.resent >= 3


def test_a_port_that_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "RECONNECT_SECONDS", 0.3)
    with board(tmp_path, Faults(vanish=[2], back=False)) as there:
        open_host = host(there.path)
        with pytest.raises(LinkError, match="did not come back within 0 s .*found no such port"):
            open_host.run(drawn(9).__getitem__, list("abcdefghi"), lambda *_: None)
    open_host.close()


def test_a_board_that_never_answers(tmp_path: Path) -> None:
    with (
        board(tmp_path, Faults(dumb=True)) as there,
        pytest.raises(LinkError, match="3000000 baud: found no answer.*cable.*--baud"),
    ):
        host(there.path, status=0.05)


def test_noise_is_told_from_silence(tmp_path: Path) -> None:
    with (
        board(tmp_path, Faults(dumb=True, garbage=True)) as there,
        pytest.raises(LinkError, match="found bytes that are no answer.*check --baud"),
    ):
        host(there.path, status=0.05)


def test_another_build_on_the_board(tmp_path: Path) -> None:
    with (
        board(tmp_path, build=bytes(16)) as there,
        pytest.raises(
            LinkError, match="found the build 0{16} on the board, expected 0001020304050607"
        ),
    ):
        host(there.path)


def test_pictures_of_another_size_on_the_board(tmp_path: Path) -> None:
    with (
        Board(tmp_path / "tty", compute, PICTURE + 1, RESULT, BUILD) as there,
        pytest.raises(LinkError, match="found 301 bytes a picture and 7 a result"),
    ):
        host(there.path)


def test_three_silences_end_the_run(tmp_path: Path) -> None:
    with board(tmp_path, Faults(silent=1.0)) as there:
        open_host = host(there.path, result=0.05)
        with pytest.raises(LinkError, match="^first: sent 3 times without a good answer .*timeout"):
            open_host.run(drawn(1).__getitem__, ["first"], lambda *_: None)
        open_host.close()
        # From the second silence on the board is reset, in case the network stands still.
        assert there.resets == 3 and there.taken == 3


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="found no such port, expected one of this machine's"):
        SerialPort(str(tmp_path / "nowhere"), 3_000_000)


def test_a_port_that_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PortError, match="cannot be opened as a serial port of 3000000 baud"):
        SerialPort(str(tmp_path / "file"), 3_000_000)


def test_a_port_that_somebody_holds(tmp_path: Path) -> None:
    with board(tmp_path) as there:
        held = SerialPort(str(there.path), 3_000_000)
        with pytest.raises(PortError, match="another program holds the port"):
            SerialPort(str(there.path), 3_000_000)
        held.close()


def test_the_host_keeps_the_networks_pace(tmp_path: Path) -> None:
    """Nothing else slows it down: the line has no flow control."""
    with board(tmp_path) as there:
        open_host = host(there.path, pace=10_000.0)
        began = time.monotonic()
        open_host.run(drawn(6).__getitem__, list("abcdef"), lambda *_: None)
        open_host.close()
    # The last picture ends no earlier than the time of the five before it.
    assert time.monotonic() - began > 5 * PICTURE / 10_000


def test_a_board_that_overflows_is_given_more_time(tmp_path: Path) -> None:
    there = board(tmp_path, Faults(overflow=1))
    with there:
        open_host = host(there.path, pace=50_000.0)
        open_host.run(drawn(4).__getitem__, list("abcd"), lambda *_: None)
        open_host.close()
    assert open_host.troubles.refused == {"the board's receiver overflowed": 1}
    assert open_host._pace == 25_000.0


def test_late_answers_are_strays(tmp_path: Path) -> None:
    """A board that is slower than the host waits: what comes late belongs to no picture."""
    with board(tmp_path, Faults(late=0.15)) as there:
        open_host = host(there.path, result=0.1)
        found = dict[int, bytes]()
        with contextlib.suppress(LinkError):
            open_host.run(drawn(20).__getitem__, [str(i) for i in range(20)], found.__setitem__)
        open_host.close()
    assert open_host.troubles.strays > 0
    assert found == {i: compute(drawn(20)[i]) for i in found}

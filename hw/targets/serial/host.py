# SPDX-License-Identifier: Apache-2.0
"""The host's side of the link: pictures out, results in, whatever gets lost sent again.

A board answers in the order in which pictures come. Nothing is believed but a whole frame with the
sequence of a picture that waits and a verdict of 0.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .link import END, ERRORS, HASH_BYTES, VERSION, WINDOW, Decoder, Frame, Kind, Status, Verdict
from .port import Port, PortError, PortLost

TRIES = 3
"""How often a picture is sent, or a question asked, before the run ends."""
PIECE = 512
"""Bytes sent at a time, at the pace at which the network takes them."""
LAG_SECONDS = 0.005
"""Seconds that may be caught up after a late piece."""
RECONNECT_SECONDS = 30.0
"""Seconds that a port which vanished has to come back."""
LARGEST_STATUS = 256


class LinkError(RuntimeError):
    """The board does not do what was asked; the message is one line for the user."""


@dataclass(frozen=True)
class Expected:
    """What is known of the board before it is asked.

    Attributes:
        build: hash of the build.
        picture_bytes: bytes of a picture.
        result_bytes: bytes of a picture's results.
        folder: the build, for messages.
        pace: bytes per second that line and network take.
    """

    build: bytes
    picture_bytes: int
    result_bytes: int
    folder: str
    pace: float = math.inf


@dataclass(frozen=True)
class Patience:
    """Seconds that the host waits.

    Attributes:
        result: for the next result.
        status: for the status.
    """

    result: float
    status: float


@dataclass
class Troubles:
    """What went wrong and was put right.

    Attributes:
        resent: pictures sent once more.
        silences: times that a picture got no answer in time.
        refused: results with a verdict, and errors, that the board sent, by what they say.
        strays: results that belong to no picture which waits.
        damaged: pieces from the board that were no frame.
        reconnects: times that the port vanished and came back.
    """

    resent: int = 0
    silences: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    strays: int = 0
    damaged: int = 0
    reconnects: int = 0

    def refuse(self, why: str) -> None:
        """Count an answer that is no result."""
        self.refused[why] = self.refused.get(why, 0) + 1


@dataclass
class _Sent:
    """A picture that waits for its answer."""

    index: int
    sequence: int


class Host:
    """A board at a port."""

    def __init__(
        self, open_port: Callable[[], Port], expected: Expected, patience: Patience, link: str
    ) -> None:
        """Connect, reset the board and check that it is the one expected.

        Args:
            open_port: opens the port; called again after it vanished.
            expected: see there.
            patience: how long an answer may take.
            link: how port and baud rate are called in messages.

        Raises:
            PortError: the port cannot be opened.
            LinkError: the board does not answer, or is another one.
        """
        self._open = open_port
        self._expected = expected
        self._patience = patience
        self._link = link
        self._sequence = 0
        self._waiting: deque[_Sent] = deque()
        self._todo: deque[int] = deque()
        self._reasons: dict[int, list[str]] = {}
        self._last = 0.0
        self._statuses: dict[int, bytes] = {}
        self._heard = False
        self._pace = expected.pace
        self._free = 0.0
        self._take: Callable[[int, bytes], None] = _nothing
        self.troubles = Troubles()
        self._port = open_port()
        try:
            self._greet()
        except BaseException:
            self._port.close()
            raise

    def close(self) -> None:
        """Give the port back."""
        self._port.close()

    def status(self) -> Status:
        """Ask the board for its counters.

        Raises:
            LinkError: it does not answer.
        """
        return self._ask(Kind.ASK_STATUS)

    def run(
        self,
        picture: Callable[[int], bytes],
        names: Sequence[str],
        take: Callable[[int, bytes], None],
    ) -> None:
        """Send pictures and hand on their results, each once, in the order in which they come.

        Args:
            picture: gives the payload of a picture by its number, from 0.
            names: what the pictures are called in messages.
            take: gets the number of a picture and the bytes of its results.

        Raises:
            LinkError: a picture was sent three times without a good answer, or the port vanished
                for good.
        """
        self._todo = deque(range(len(names)))
        self._waiting.clear()
        self._reasons = {}
        self._take = take
        while self._todo or self._waiting:
            try:
                self._step(picture)
            except PortLost as lost:
                self._reconnect(lost)
            for index, reasons in self._reasons.items():
                if len(reasons) >= TRIES:
                    raise LinkError(self._given_up(names[index], reasons))

    def _step(self, picture: Callable[[int], bytes]) -> None:
        """Fill the window, then wait for what comes."""
        while self._todo and len(self._waiting) < WINDOW:
            index = self._todo.popleft()
            # It waits before it is sent: a port that vanishes meanwhile must not lose it.
            sent = _Sent(index, self._next_sequence())
            self._waiting.append(sent)
            self._write(Frame(Kind.PICTURE, sent.sequence, picture(index)).encode())
            if len(self._waiting) == 1:
                self._last = time.monotonic()
        left = self._last + self._patience.result - time.monotonic()
        if left > 0:
            self._listen(left)
        else:
            self._silence()

    def _silence(self) -> None:
        """Nothing came in time: see whether the board lives, and send again what waits."""
        self.troubles.silences += 1
        tries = len(self._reasons.get(self._waiting[0].index, ()))
        # A network that stands still in the middle of a picture needs more than a question.
        self._ask(Kind.RESET if tries else Kind.ASK_STATUS)
        self._again(range(len(self._waiting)), "no answer in time")

    def _again(self, places: range, why: str) -> None:
        """Send pictures that wait at some places of the line once more; ``why`` is held against
        the first of them, which the others only stood behind."""
        lost = [self._waiting[place].index for place in places]
        for _ in lost:
            del self._waiting[places.start]
        if lost:
            self._reasons.setdefault(lost[0], []).append(why)
            self._todo.extendleft(reversed(lost))
            self.troubles.resent += len(lost)
            self._last = time.monotonic()

    def _listen(self, seconds: float) -> None:
        """Wait for bytes and do what the frames in them say."""
        data = self._port.read(seconds)
        self._heard = self._heard or bool(data)
        for frame in self._decoder.feed(data):
            self._handle(frame)

    def _handle(self, frame: Frame) -> None:
        place = next((i for i, s in enumerate(self._waiting) if s.sequence == frame.sequence), None)
        if frame.kind == Kind.STATUS:
            self._statuses[frame.sequence] = frame.payload
        elif frame.kind == Kind.ERROR and frame.payload:
            why = ERRORS.get(frame.payload[0], f"error {frame.payload[0]}")
            self.troubles.refuse(why)
            if place is not None:
                # Unlike results an error does not wait for its turn.
                self._again(range(place, place + 1), why)
        elif frame.kind == Kind.RESULT:
            verdict = Verdict(frame.payload[-1]) if frame.payload else Verdict.SHORT
            if place is None:
                self.troubles.strays += 1
                if verdict and self._waiting:
                    # A picture whose sequence was damaged: answers come in order, so the first.
                    self._again(range(1), verdict.words)
            elif not verdict and len(frame.payload) == self._expected.result_bytes + 1:
                self._again(range(place), "lost on the way")
                self._last = time.monotonic()
                self._take(self._waiting.popleft().index, frame.payload[:-1])
            else:
                why = verdict.words if verdict else "a result of another length"
                self.troubles.refuse(why)
                if Verdict.OVERFLOW in verdict:
                    # The board's clock is slower than the build says, or its line faster.
                    self._pace /= 2
                self._again(range(place), "lost on the way")
                self._again(range(1), why)

    def _next_sequence(self) -> int:
        # 0 stands for an unknown sequence in errors.
        self._sequence = self._sequence % 255 + 1
        return self._sequence

    def _write(self, data: bytes) -> None:
        """Send bytes, no faster than the network takes them: nothing else would slow the host."""
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            time.sleep(max(0.0, self._free - time.monotonic()))
            self._port.write(piece)
            earliest = time.monotonic() - LAG_SECONDS
            self._free = max(self._free, earliest) + len(piece) / self._pace

    def _greet(self) -> None:
        """Bring the board to its start and check what it is."""
        largest = max(self._expected.result_bytes + 1, LARGEST_STATUS)
        self._decoder = Decoder(most=largest)
        self._heard = False
        # Ends what an earlier run may have left half sent.
        self._port.write(END)
        status = self._ask(Kind.RESET)
        expected = self._expected
        if status.version != VERSION:
            raise LinkError(
                f"{self._link}: found version {status.version} of the protocol on the board, "
                f"expected {VERSION}; make its bitstream again: andpop bitstream {expected.folder}"
            )
        if status.build != expected.build:
            raise LinkError(
                f"{self._link}: found the build {_short(status.build)} on the board, expected "
                f"{_short(expected.build)} as {expected.folder}; program the board with that "
                "build's bitstream, or give the folder of the build that is on it"
            )
        sizes = (status.picture_bytes, status.result_bytes)
        if sizes != (expected.picture_bytes, expected.result_bytes):
            raise LinkError(
                f"{self._link}: found {sizes[0]} bytes a picture and {sizes[1]} a result on the "
                f"board, expected {expected.picture_bytes} and {expected.result_bytes}; make its "
                f"bitstream again: andpop bitstream {expected.folder}"
            )

    def _ask(self, kind: Kind) -> Status:
        """Ask until the board tells its status; results that come meanwhile are taken."""
        for _ in range(TRIES):
            sequence = self._next_sequence()
            self._statuses.clear()
            self._port.write(Frame(kind, sequence, b"").encode())
            end = time.monotonic() + self._patience.status
            while sequence not in self._statuses and time.monotonic() < end:
                self._listen(end - time.monotonic())
            status = Status.decode(self._statuses.get(sequence, b""))
            if status is not None:
                return status
        raise LinkError(self._no_answer())

    def _no_answer(self) -> str:
        what = "bytes that are no answer" if self._heard else "no answer"
        tries = (
            "check --baud, the same on both sides"
            if self._heard
            else "check that the board is powered and holds this build's bitstream, that this is "
            "its port and the cable carries data, and --baud; press reset and run it again"
        )
        return f"{self._link}: found {what}, expected a board of andpop; {tries}"

    def _reconnect(self, lost: PortLost) -> None:
        """Wait for a port that vanished, and begin again with what waited."""
        self._count_damaged()
        self._port.close()
        self._again(range(len(self._waiting)), "the port vanished")
        end = time.monotonic() + RECONNECT_SECONDS
        while True:
            try:
                self._port = self._open()
                self._greet()
                break
            except (PortError, PortLost) as error:
                if isinstance(error, PortLost):
                    self._port.close()
                if time.monotonic() > end:
                    raise LinkError(
                        f"{lost}; it did not come back within {RECONNECT_SECONDS:.0f} s ({error})"
                    ) from error
                time.sleep(0.1)
        self.troubles.reconnects += 1

    def _count_damaged(self) -> None:
        self.troubles.damaged += self._decoder.damaged
        self._decoder.damaged = 0

    def finish(self) -> Troubles:
        """Return what went wrong so far."""
        self._count_damaged()
        return self.troubles

    def _given_up(self, name: str, reasons: Sequence[str]) -> str:
        with contextlib.suppress(LinkError, PortLost):
            status = self.status()
            return (
                f"{name}: sent {len(reasons)} times without a good answer "
                f"({'; '.join(reasons)}); the board answers, with {status.pictures} pictures taken "
                f"and {status.refused} refused; try another cable, a lower --baud, or a longer "
                "--timeout where answers are late"
            )
        return f"{name}: sent {len(reasons)} times ({'; '.join(reasons)}); {self._no_answer()}"


def _short(build: bytes) -> str:
    return build[: HASH_BYTES // 2].hex()


def _nothing(index: int, results: bytes) -> None:
    """Nobody asked for results yet."""

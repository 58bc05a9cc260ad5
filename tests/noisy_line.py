# SPDX-License-Identifier: Apache-2.0
"""A bad line between a host and a port: what goes through it is hurt by seeded chance."""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from types import TracebackType

from serial_board import Faults, Hurt


class NoisyLine:
    """``port`` is the host's end; the other end is that of a board."""

    def __init__(self, board: str, faults: Faults) -> None:
        self._hurt = Hurt(faults)
        self._board = os.open(board, os.O_RDWR | os.O_NOCTTY)
        self._host, self._slave = pty.openpty()
        for end in (self._board, self._slave):
            tty.setraw(end)
        self.port = os.ttyname(self._slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> NoisyLine:
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
        for end in (self._board, self._host, self._slave):
            os.close(end)

    def _run(self) -> None:
        while not self._stop.is_set():
            for end in select.select([self._host, self._board], [], [], 0.02)[0]:
                data = os.read(end, 1024)
                if end == self._host:
                    os.write(self._board, self._hurt.on_the_way_in(data))
                else:
                    os.write(self._host, self._hurt.on_the_way_out(data))

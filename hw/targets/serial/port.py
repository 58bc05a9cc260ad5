# SPDX-License-Identifier: Apache-2.0
"""A serial port, by pyserial: opened, read in a thread of its own, lost."""

from __future__ import annotations

import errno
import queue
import threading
from typing import Protocol

import serial
from serial.tools import list_ports

PAUSE = 0.05
"""Seconds for which the thread waits for a byte before it looks whether it is to end."""
WRITE_SECONDS = 30.0
"""Seconds after which bytes that nobody takes mean that the port is lost."""
PIECE = 4096


class PortError(ValueError):
    """The port cannot be used; the message is one line for the user."""


class PortLost(RuntimeError):
    """The port was open and is gone."""


class Port(Protocol):
    """What the host's side of the link needs of a port."""

    def read(self, seconds: float) -> bytes:
        """Return what has come, empty if nothing came for so long.

        Raises:
            PortLost: the port is gone.
        """

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            PortLost: the port is gone, or nobody takes them.
        """

    def close(self) -> None:
        """Give the port back."""


class SerialPort:
    """8 data bits, no parity, one stop bit, no flow control.

    Bytes are read as they come, also while others are written: without flow control the operating
    system's buffer would overflow.
    """

    def __init__(self, name: str, baud: int) -> None:
        """Open it.

        Raises:
            PortError: it is missing, not ours, held by another program or no serial port.
        """
        try:
            self._port = serial.Serial(
                name, baud, timeout=PAUSE, write_timeout=WRITE_SECONDS, exclusive=True
            )
        except (OSError, ValueError) as error:
            raise PortError(_reason(name, baud, error)) from error
        self._name = name
        self._arrived: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def read(self, seconds: float) -> bytes:
        """See ``Port.read``."""
        try:
            found = self._arrived.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return b""
        if isinstance(found, Exception):
            raise PortLost(f"{self._name}: {found}") from found
        return found

    def write(self, data: bytes) -> None:
        """See ``Port.write``."""
        try:
            for start in range(0, len(data), PIECE):
                self._port.write(data[start : start + PIECE])
        except OSError as error:
            raise PortLost(f"{self._name}: {error}") from error

    def close(self) -> None:
        """See ``Port.close``."""
        self._closing.set()
        self._thread.join()
        self._port.close()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                data = self._port.read(max(1, self._port.in_waiting))
            except (OSError, TypeError) as error:  # TypeError: closed under the thread's feet
                self._arrived.put(error)
                return
            if data:
                self._arrived.put(data)


def found_ports() -> list[str]:
    """Return the serial ports of this machine with what they say they are."""
    ports = sorted(list_ports.comports(), key=lambda port: str(port.device))
    return [
        port.device if port.description in ("", "n/a") else f"{port.device} ({port.description})"
        for port in ports
    ]


def _reason(name: str, baud: int, error: Exception) -> str:
    """Say why a port cannot be opened, and what to do."""
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"{name}: found no permission to open the port; join its group (Debian: "
            "adduser USER dialout, then log in again) or allow it by a udev rule"
        )
    if number in (errno.EAGAIN, errno.EBUSY):
        return f"{name}: another program holds the port; close it and run the command again"
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        there = ", ".join(found_ports()) or "none at all"
        return (
            f"{name}: found no such port, expected one of this machine's: {there}; plug the board "
            "in or give its port"
        )
    return f"{name}: cannot be opened as a serial port of {baud} baud ({error}); check --port"

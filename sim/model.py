# SPDX-License-Identifier: Apache-2.0
"""A running model of a Verilator build: ports set and read, time passed, waveforms written."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path


class SimulationError(RuntimeError):
    """A running model stopped: $fatal, $error, $stop or a memory file it could not read."""


@dataclass(frozen=True)
class Port:
    """One port of a model's top; ``cpp`` and ``ctype`` are its name and type in the C++ class."""

    name: str
    width: int
    is_input: bool
    index: int
    cpp: str
    ctype: str


def parse_ports(header: str) -> list[Port]:
    """Read the ports of a model from the text of its C++ header."""
    ports: list[Port] = []
    pattern = r"VL_(IN|OUT|INOUT)(8|16|64|W)?\(&(\w+),(\d+),(\d+)"
    for direction, size, cpp, msb, lsb in re.findall(pattern, header):
        name = re.sub(r"__0(\w\w)", lambda m: chr(int(m.group(1), 16)), cpp)
        ctype = {"8": "CData", "16": "SData", "64": "QData"}.get(size, "IData")
        width = int(msb) - int(lsb) + 1
        ports.append(Port(name, width, direction == "IN", len(ports), cpp, ctype))
    return ports


def missing_memories(folder: str | Path) -> list[str]:
    """Name the memory files that generated RTL in ``folder`` (and below) reads but that are absent.

    Paths in the sources are taken relative to ``folder``, the working directory of a simulation.
    """
    root = Path(folder)
    missing = set()
    for source in sorted(p for p in root.rglob("*") if p.suffix in (".v", ".sv")):
        for name in re.findall(r'"([^"%\n]+\.(?:mem|dat|hex))"', source.read_text()):
            if not (root / name).is_file():
                missing.add(name)
    return sorted(missing)


class Model:
    """A running model of a ``library`` build.

    Args:
        library: what ``build`` returned.
        data: working directory while the model reads its memories.

    Raises:
        SimulationError: a memory file is missing, or the model stops at time zero.
    """

    def __init__(self, library: Path, *, data: str | Path | None = None) -> None:
        self._lib = ctypes.CDLL(str(library))
        self._lib.andpop_ports.restype = ctypes.c_char_p
        self._lib.andpop_create.restype = ctypes.c_void_p
        for name in ("andpop_text", "andpop_failed"):
            getattr(self._lib, name).restype = ctypes.c_char_p
            getattr(self._lib, name).argtypes = [ctypes.c_void_p]
        words = ctypes.POINTER(ctypes.c_uint32)
        self._set, self._get = self._lib.andpop_set, self._lib.andpop_get
        self._set.argtypes = self._get.argtypes = [ctypes.c_void_p, ctypes.c_int, words]
        self._set.restype = self._get.restype = None
        for name in ("andpop_eval", "andpop_wait"):
            getattr(self._lib, name).argtypes = [ctypes.c_void_p, ctypes.c_uint64]
            getattr(self._lib, name).restype = None
        self._lib.andpop_destroy.argtypes = [ctypes.c_void_p]
        self.ports = {p["name"]: Port(**p) for p in json.loads(self._lib.andpop_ports())}
        self._buffers = {p: (ctypes.c_uint32 * -(-q.width // 32))() for p, q in self.ports.items()}
        with contextlib.chdir(data or Path.cwd()):
            self._sim: int | None = self._lib.andpop_create()
        self._check()

    def _check(self) -> None:
        failed = self._lib.andpop_failed(self._sim)
        if failed:
            text = self._lib.andpop_text(self._sim).decode(errors="replace").strip()
            raise SimulationError(" | ".join(filter(None, (text[-500:], failed.decode()))))

    @property
    def text(self) -> str:
        """Everything the model printed."""
        return str(self._lib.andpop_text(self._sim).decode(errors="replace"))

    def set(self, port: str, value: int) -> None:
        """Drive an input; seen by the next ``eval`` or ``step``."""
        buffer = self._buffers[port]
        for i in range(len(buffer)):
            buffer[i] = (value >> (32 * i)) & 0xFFFFFFFF
        self._set(self._sim, self.ports[port].index, buffer)

    def get(self, port: str) -> int:
        """Return a port's value as an unsigned integer."""
        buffer = self._buffers[port]
        self._get(self._sim, self.ports[port].index, buffer)
        return int.from_bytes(bytes(buffer), "little")

    def eval(self, picoseconds: int = 0) -> None:
        """Settle the model, then let time pass."""
        self._lib.andpop_eval(self._sim, picoseconds)
        self._check()

    def wait(self, picoseconds: int) -> None:
        """Let time pass without evaluating anything: no input has changed."""
        self._lib.andpop_wait(self._sim, picoseconds)

    def step(self, cycles: int = 1) -> None:
        """Run clock cycles of 10 ns on ``ap_clk`` (or ``clk_i``): rise, fall."""
        function = self._lib.andpop_step
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_uint64], ctypes.c_uint64
        function(self._sim, cycles)
        self._check()

    def open_vcd(self, path: str | Path) -> None:
        """Write waveforms from now on.

        Raises:
            SimulationError: the model was built without ``trace``.
        """
        if not hasattr(self._lib, "andpop_vcd_open"):
            raise SimulationError(f"{path}: the model has no waveforms; build it with trace=True")
        self._lib.andpop_vcd_open.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._lib.andpop_vcd_open(self._sim, os.fsencode(path))

    def close_vcd(self) -> None:
        """Finish the waveform file."""
        self._lib.andpop_vcd_close.argtypes = [ctypes.c_void_p]
        self._lib.andpop_vcd_close(self._sim)

    def close(self) -> None:
        """Free the model; idempotent."""
        if self._sim is not None:
            self._lib.andpop_destroy(self._sim)
            self._sim = None

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

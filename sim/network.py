# SPDX-License-Identifier: Apache-2.0
"""A whole network in Verilator: built as one executable, fed with words, its streams captured.

The executable is ``network_harness.cpp`` around the top; it runs with the RTL folder as working
directory (memories are relative to it) and a crash in it cannot take the caller along.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .cache import scratch
from .model import SimulationError
from .verilator import build

HARNESS = Path(__file__).parent / "network_harness.cpp"
DEFINES = ("ANDPOP_SIM",)
FLAGS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-fno-split")
"""Unsplit always blocks test their condition once, not once per register: 13 % more cycles/s."""
OPTIMISATION = "-O1"
"""-O2 takes 3.5 times as long to compile and its models are no faster."""

Words = npt.NDArray[np.uint8]
Progress = Callable[[dict[str, int]], None]


@dataclass(frozen=True)
class NetworkRun:
    """What one run of a network did."""

    status: str
    """``done``, ``deadlock`` (nothing moved for the watchdog's time) or ``stopped``."""
    cycles: int
    seconds: float
    """Wall time of the simulation proper."""
    started: tuple[int, ...]
    """Cycle in which each frame's first word went in."""
    finished: tuple[int, ...]
    """Cycle in which the last word of each frame came out, of whichever result."""
    fill: tuple[int, ...]
    """Words left in each FIFO at the end, by FIFO id."""
    peak: tuple[int, ...]
    """Most words each FIFO ever held, by FIFO id."""
    waiting: tuple[int, ...]
    """Ids of the taps at which a word waited at the end."""
    outputs: tuple[Words, ...]
    """Of each result stream (frames, words, bytes) as they left the top, low byte first."""


@dataclass(frozen=True)
class Pauses:
    """Random bursts in which a source offers nothing or a sink takes nothing."""

    seed: int
    percent_in: int
    """Share of the input's bursts of 1 to 64 cycles that are pauses, 0 to 99."""
    percent_out: int
    """The same of every output's."""


def build_network(
    folder: Path,
    sources: Sequence[str],
    top: str,
    *,
    outputs: int = 1,
    defines: Sequence[str] = (),
    trace: bool = False,
    jobs: int = 2,
) -> tuple[Path, float]:
    """Compile an emitted top; return the executable and the seconds it took (0 if cached).

    Args:
        folder: the RTL folder.
        sources: files relative to it or absolute, packages first.
        top: name of the top module.
        outputs: result streams it has, ``m_axis_0`` and on.
        defines: macros beside ``ANDPOP_SIM``, as NAME or NAME=VALUE.
        trace: compile waveforms of the top's own wires in: every stream of the network.
        jobs: compilers at a time.

    Raises:
        ToolMissing: no Verilator or no C++ compiler.
        BuildError: a source is missing or refused.
    """
    begin = time.perf_counter()
    flags = (*FLAGS, "--trace-depth", "1") if trace else FLAGS
    with scratch("outputs") as files:
        ports = files / "network_outputs.hpp"
        listed = " ".join(f"X({n})" for n in range(outputs))
        ports.write_text(f"#define ANDPOP_OUTPUTS(X) {listed}\n", encoding="ascii")
        executable = build(
            [folder / s for s in sources],
            top,
            defines=(*DEFINES, *defines),
            trace=trace,
            extra_cpp=[HARNESS, ports],
            opt=OPTIMISATION,
            kind="executable",
            verilator_flags=flags,
            jobs=jobs,
        )
    return executable, time.perf_counter() - begin


def run_network(
    executable: Path,
    folder: Path,
    words: Words,
    *,
    words_out: Sequence[int],
    bytes_out: Sequence[int],
    watchdog: int,
    capacities: Sequence[int] = (),
    throttle: int = 0,
    pauses: Pauses | None = None,
    capture: Path | None = None,
    vcd: Path | None = None,
    vcd_from: int = 0,
    last_cycle: int | None = None,
    progress: Progress | None = None,
) -> NetworkRun:
    """Run frames through a network until all results are out.

    Args:
        executable: from ``build_network``.
        folder: the RTL folder.
        words: (frames, words, bytes per word) input, low byte first.
        words_out: words per frame of each result stream.
        bytes_out: bytes per word of each result stream.
        watchdog: cycles without a word in or out after which the network counts as stuck.
        capacities: words each FIFO may hold, by id; empty leaves each its storage.
        throttle: cycles over which the words of a frame are spread; 0 feeds at full rate.
        pauses: random standstills of both sides.
        capture: folder that receives every tapped stream (see ``read_capture``).
        vcd: waveform file; the executable must have been built with ``trace``.
        vcd_from: first cycle of the waveform.
        last_cycle: stop there.
        progress: called about once a second with cycle, frames_in, frames_out.

    Raises:
        SimulationError: the executable failed; the message quotes its last words.
    """
    frames, words_in, bytes_in = words.shape
    with scratch("network") as files:
        (files / "input").write_bytes(np.ascontiguousarray(words, dtype=np.uint8).tobytes())
        (files / "capacities").write_text("\n".join(map(str, capacities)))
        arguments: dict[str, object] = {
            "input": files / "input",
            "capacities": files / "capacities",
            "output": files / "output",
            "report": files / "report",
            "frames": frames,
            "words_in": words_in,
            "bytes_in": bytes_in,
            "words_out": ",".join(map(str, words_out)),
            "bytes_out": ",".join(map(str, bytes_out)),
            "throttle": throttle,
            "watchdog": watchdog,
        }
        if pauses is not None:
            arguments |= {
                "seed": pauses.seed,
                "pauses_in": pauses.percent_in,
                "pauses_out": pauses.percent_out,
            }
        if capture is not None:
            capture.mkdir(parents=True, exist_ok=True)
            arguments["capture"] = capture.resolve()
        if vcd is not None:
            arguments |= {"vcd": vcd.resolve(), "vcd_from": vcd_from}
        if last_cycle is not None:
            arguments["last_cycle"] = last_cycle
        command = [str(executable), *(f"{key}={value}" for key, value in arguments.items())]
        with (files / "errors").open("w+") as errors:
            with subprocess.Popen(
                command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
            ) as process:
                lines = []
                try:
                    for line in process.stdout or ():
                        if not line.startswith("{"):
                            lines.append(line.strip())
                        elif progress is not None:
                            progress(json.loads(line))
                except BaseException:
                    process.kill()
                    raise
            errors.seek(0)
            lines += errors.read().splitlines()
        if process.returncode != 0:
            said = " | ".join(lines[-5:]) or "nothing"
            raise SimulationError(
                f"network simulation: exit code {process.returncode}, its last words: {said}"
            )
        report = json.loads((files / "report").read_text())
        outputs = tuple(
            _frames((files / f"output{n}").read_bytes(), *shape)
            for n, shape in enumerate(zip(words_out, bytes_out, strict=True))
        )
    return NetworkRun(
        report["status"],
        report["cycles"],
        report["seconds"],
        tuple(report["started"]),
        tuple(report["finished"]),
        tuple(report["fill"]),
        tuple(report["peak"]),
        tuple(report["waiting"]),
        outputs,
    )


def _frames(data: bytes, words: int, size: int) -> Words:
    """Return the whole frames (frames, words, bytes) of a result stream."""
    raw = np.frombuffer(data, dtype=np.uint8)
    whole = raw.size // (words * size)
    return raw[: whole * words * size].reshape(whole, words, size)


def read_capture(folder: Path, tap: int, width: int) -> tuple[Words, npt.NDArray[np.uint32]]:
    """Return the words that passed a tap: (words, bytes) low byte first, and their cycles."""
    chunks = -(-width // 32)
    path = folder / f"{tap}.data"
    if not path.is_file():
        return np.zeros((0, 4 * chunks), np.uint8), np.zeros(0, np.uint32)
    data = np.fromfile(path, dtype=np.uint8)
    return data.reshape(-1, 4 * chunks), np.fromfile(folder / f"{tap}.cycle", dtype=np.uint32)


def pack_words(values: npt.NDArray[np.int64], bits: int, lanes: int) -> Words:
    """Pack integers into words of ``lanes`` elements, element i at bits i*bits.

    Args:
        values: (frames, n) integers in stream order, n divisible by ``lanes``.
        bits: width of an element.
        lanes: elements per word.

    Returns:
        (frames, n / lanes, bytes) with the low byte first.
    """
    frames, count = values.shape
    shifts = np.arange(bits, dtype=np.int64)
    spread = ((values[..., None] >> shifts) & 1).astype(np.uint8)
    return np.packbits(
        spread.reshape(frames, count // lanes, lanes * bits), axis=-1, bitorder="little"
    )


def unpack_words(words: Words, bits: int, lanes: int, signed: bool) -> npt.NDArray[np.int64]:
    """Return (words, lanes) integers of packed words; the inverse of ``pack_words``."""
    spread = np.unpackbits(words, axis=-1, bitorder="little")[:, : bits * lanes]
    spread = spread.reshape(len(words), lanes, bits)
    values = np.zeros((len(words), lanes), dtype=np.int64)
    for bit in range(bits):
        weight = -1 if signed and bit == bits - 1 else 1
        values += spread[..., bit].astype(np.int64) * (weight << bit)
    return values

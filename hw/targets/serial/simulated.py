# SPDX-License-Identifier: Apache-2.0
"""A board that is simulated: a build's RTL behind the serial link, at a pseudo-terminal."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ....sim.cache import scratch
from ....sim.model import SimulationError
from ....sim.network import FLAGS, OPTIMISATION
from ....sim.verilator import build
from ...rtl.runs import watchdog
from ...rtl.top_info import TopInfo
from .network import write_network

HARNESS = [Path(__file__).parent / name for name in ("board.cpp", "board_arguments.hpp")]
LINE = Path(__file__).parent / "board_line.hpp"
"""Where its bytes get into the model: at the link's streams."""
END_SECONDS = 5.0
"""Seconds that the program has to end by itself."""


@dataclass(frozen=True)
class SimulatedBoard:
    """A program that stands for a board, and how it is run."""

    program: Path
    folder: Path
    """Its working directory, which memories are relative to."""
    arguments: tuple[str, ...]


def build_board(rtl: Path, build_hash: bytes) -> SimulatedBoard:
    """Compile the RTL as it is built, FIFOs of their final depth, with the link around it.

    Args:
        rtl: folder of an emitted network.
        build_hash: what the board says that it was made of.

    Returns:
        The board, from the cache if it is there.

    Raises:
        EmitError: the folder holds no network.
        ToolMissing: no Verilator or no g++.
        BuildError: a source is refused.
    """
    info = TopInfo.load(rtl)
    with scratch("board") as folder:
        around, top = write_network(info, folder, build_hash)
        program = build(
            [*(rtl / source for source in info.sources), *around],
            top,
            extra_cpp=[*HARNESS, LINE],
            opt=OPTIMISATION,
            kind="executable",
            verilator_flags=FLAGS,
        )
    return SimulatedBoard(program, rtl, (f"quiet={watchdog(info)}",))


@contextlib.contextmanager
def running_board(board: SimulatedBoard) -> Iterator[str]:
    """Run a board while the block runs; yields the name of its port.

    Raises:
        SimulationError: the program ended before it had a port.
    """
    with subprocess.Popen(
        [board.program, *board.arguments], cwd=board.folder, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout and process.stderr
        try:
            port = process.stdout.readline().strip()
            if not port:
                raise SimulationError(process.stderr.read().strip() or "simulated board: no port")
            yield port
        finally:
            # The end of its input ends it.
            process.stdin.close()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

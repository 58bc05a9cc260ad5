# SPDX-License-Identifier: Apache-2.0
"""A build on a board: pictures over a serial line, what every head gives back."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..hw.rtl.top_info import TopInfo, build_hash
from ..hw.targets.serial.host import Expected, Host, Patience
from ..hw.targets.serial.network import BAUD, Link
from ..hw.targets.serial.port import SerialPort, found_ports
from ..hw.targets.serial.words import Words
from ..quant.grid import IntArray, type_format
from ..quant.tasks.task import Output, Outputs, shaped
from .compare import Divergence, bit_pattern
from .errors import UsageError
from .files import BuildFiles
from .models import CpuModel
from .pictures import Pictures
from .progress import Progress

BITS_OF_A_BYTE = 10
"""On the wire, start and stop bits among them."""
SPARE = 4
"""How many times longer an answer may take than it should."""
LEAST_SECONDS = 2.0
"""Of a time-out: what an operating system may make of it."""
STATUS_SECONDS = 1.0
"""That a board has to tell its status."""
SIMULATED = Patience(3600.0, 120.0)
"""Of a board whose clock is as slow as a simulation is."""


@dataclass(frozen=True)
class Line:
    """How the board is reached.

    Attributes:
        port: name of the serial port.
        simulated: there is no board; a simulation of its RTL takes its place.
        routed: there is no board; a simulation of the routed netlist in this project folder does.
        baud: bits per second.
        timeout: seconds until an answer counts as lost; None for what the build's cycles and the
            baud rate say.

    Raises:
        UsageError: not one of port and simulations, or a baud rate or time-out that is none.
    """

    port: str | None
    simulated: bool = False
    routed: Path | None = None
    baud: int = BAUD
    timeout: float | None = None

    def __post_init__(self) -> None:
        given = {"--port": self.port, "--simulated": self.simulated, "--routed": self.routed}
        found = [name for name, value in given.items() if value]
        if len(found) != 1:
            there = ", ".join(found_ports()) or "none at all"
            raise UsageError(
                f"--port: found {' and '.join(found) or 'none'}, expected --simulated, --routed or "
                f"one of this machine's: {there}"
            )
        if self.baud < 1:
            raise UsageError(f"--baud: found {self.baud}, expected 1 or more bits per second")
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise UsageError(f"--timeout: found {self.timeout}, expected seconds above 0")

    @property
    def slow(self) -> bool:
        """Whether a simulation stands for the board."""
        return self.port is None

    @property
    def _bytes(self) -> float:
        """Per second."""
        return self.baud / BITS_OF_A_BYTE

    def pace(self, info: TopInfo, link: Link) -> float:
        """Bytes per second that line and network take."""
        if self.slow:
            return math.inf
        return min(self._bytes, link.picture_bytes * 1e6 * info.clock_mhz / info.slowest.cycles)

    def patience(self, info: TopInfo, link: Link) -> Patience:
        """How long the host waits: for two pictures and results on the line, and a picture through
        all nodes."""
        found = SIMULATED
        if not self.slow:
            line = 2 * (link.picture_bytes + link.result_bytes) / self._bytes
            network = sum(node.cycles for node in info.nodes) / (1e6 * info.clock_mhz)
            found = Patience(LEAST_SECONDS + SPARE * (line + network), STATUS_SECONDS)
        return found if self.timeout is None else replace(found, result=self.timeout)


@contextlib.contextmanager
def connected(
    files: BuildFiles, cpu: CpuModel, line: Line, progress: Progress
) -> Iterator[BoardRun]:
    """Hold a board, or a simulation of one, while the block runs.

    Raises:
        UsageError: the build has no RTL.
        PortError: the port cannot be opened.
        LinkError: there is no such board at it.
        ToolMissing, BuildError: it cannot be simulated.
    """
    if not (files.rtl / "top.json").is_file():
        raise UsageError(f"{files.folder}: has no RTL; build it without --until")
    with contextlib.ExitStack() as stack:
        port = str(line.port)
        if line.slow:
            port = stack.enter_context(_stand_in(files, line, progress))
        board = BoardRun(files, cpu, line, port)
        stack.callback(board.host.close)
        yield board


def _stand_in(
    files: BuildFiles, line: Line, progress: Progress
) -> contextlib.AbstractContextManager[str]:
    """The port of a simulation that stands for the board."""
    from ..hw.targets.serial import simulated

    progress("compiling the board", 0, 1)
    if line.routed is None:
        board = simulated.build_board(files.rtl, build_hash(files.rtl))
    else:
        from ..hw.targets.ecp5.routed_board import NotRouted, build_routed_board

        try:
            board = build_routed_board(line.routed, TopInfo.load(files.rtl))
        except NotRouted as error:
            raise UsageError(f"--routed: {error}") from None
    progress("compiling the board", 1, 1)
    return simulated.running_board(board)


class BoardRun:
    """A build on a board: pictures in, what every head gives out."""

    def __init__(self, files: BuildFiles, cpu: CpuModel, line: Line, port: str) -> None:
        info = TopInfo.load(files.rtl)
        link = Link.of(info, build_hash(files.rtl))
        self._words = Words(info, link)
        self._cpu = cpu
        self.host = Host(
            lambda: SerialPort(port, line.baud),
            Expected(
                link.build_hash,
                link.picture_bytes,
                link.result_bytes,
                str(files.folder),
                line.pace(info, link),
            ),
            line.patience(info, link),
            f"{port}, {line.baud} baud",
        )

    def run(
        self, pictures: Pictures, names: Sequence[str], stage: str, progress: Progress
    ) -> list[IntArray]:
        """Return the tensor (N, ...) of every head, in their order."""
        found: dict[int, dict[str, IntArray]] = {}
        progress(stage, 0, len(pictures))

        def take(index: int, payload: bytes) -> None:
            found[index] = self._words.results(payload)
            progress(stage, len(found), len(pictures))

        self.host.run(lambda index: self._words.picture(pictures[index]), names, take)
        return [
            np.concatenate([found[i][tap.tensor] for i in range(len(pictures))])
            for tap in self._words.info.outputs
        ]

    def outputs(self, found: Sequence[IntArray]) -> Outputs:
        """Return tensors as what the heads gave."""
        return {
            head.name: Output(head.kind, shaped(head.kind, tensor))
            for head, tensor in zip(self._cpu.engine.heads, found, strict=True)
        }

    def compared(
        self,
        expected: Sequence[IntArray],
        found: Sequence[IntArray],
        distinct: Sequence[int],
        names: Sequence[str],
    ) -> dict[str, Any]:
        """Compare what each head gave, (N, ...), bit by bit.

        Args:
            expected: of each head.
            found: of each head, by the board.
            distinct: distinct values of each head for one picture.
            names: of the pictures.
        """
        differing, first = 0, None
        heads = zip(self._words.info.outputs, expected, found, strict=True)
        for tap, want, have in heads:
            wrong = np.argwhere(want != have)
            differing += len(wrong)
            if first is None and len(wrong):
                index = tuple(int(i) for i in wrong[0])
                bits, _ = type_format(tap.datatype)
                first = Divergence(
                    "board", tap.tensor, index[1:], int(want[index]), int(have[index]),
                    bit_pattern(int(want[index]), bits), bit_pattern(int(have[index]), bits),
                    names[index[0]], index[0],
                )  # fmt: skip
        return {
            "pictures": len(names),
            "values_compared": len(names) * sum(distinct),
            "values_differing": differing,
            "first_divergence": first and first.as_json(),
        }

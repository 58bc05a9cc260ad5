# SPDX-License-Identifier: Apache-2.0
"""``andpop run``: pictures on a board at a serial port, or on one that is simulated."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...hw.rtl.top_info import TopInfo
from ...hw.targets import vectors
from ...hw.targets.serial.host import Expected, Host
from ...hw.targets.serial.link import Status
from ...hw.targets.serial.port import SerialPort, found_ports
from ...hw.targets.serial.words import Words
from ...quant.grid import IntArray, type_format
from ...quant.tasks.task import Output, Outputs, shaped
from ..build import board_hash
from ..compare import Divergence, bit_pattern
from ..errors import UsageError
from ..files import BuildFiles
from ..models import CpuModel, load_cpu_model
from ..pictures import Given, Pictures, choose
from ..progress import Progress
from .infer import check_folder

BAUD = 3_000_000
BITS_OF_A_BYTE = 10
"""On the wire, start and stop bits among them."""
SPARE = 4
"""How many times longer an answer may take than it should."""
LEAST_SECONDS = 2.0
"""Of a time-out: what an operating system may make of it."""


@dataclass(frozen=True)
class Link:
    """How the board is reached.

    Attributes:
        port: name of the serial port.
        baud: bits per second.
        timeout: seconds until an answer counts as lost; None for what the build's cycles and the
            baud rate say.

    Raises:
        UsageError: no port, or a baud rate or time-out that is none.
    """

    port: str | None
    baud: int = BAUD
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.port is None:
            there = ", ".join(found_ports()) or "none at all"
            raise UsageError(f"--port: found none, expected one of this machine's: {there}")
        if self.baud < 1:
            raise UsageError(f"--baud: found {self.baud}, expected 1 or more bits per second")
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"--timeout: found {self.timeout}, expected seconds above 0")

    def open(self) -> SerialPort:
        """Open the port."""
        return SerialPort(str(self.port), self.baud)

    def seconds(self, words: Words) -> float:
        """The time-out: two pictures and results on the wire, and a picture through all nodes."""
        if self.timeout is not None:
            return self.timeout
        wire = 2 * (words.picture_bytes + words.result_bytes) * BITS_OF_A_BYTE / self.baud
        cycles = sum(node.cycles for node in words.info.nodes)
        return LEAST_SECONDS + SPARE * (wire + cycles / (1e6 * words.info.clock_mhz))


@dataclass(frozen=True)
class Asked:
    """What is to be done on the board.

    Attributes:
        images: a picture or a folder of pictures; None for no more than the self-test.
        count: use the first ``count`` pictures.
        folder: where predictions that are pictures go.
        check: compare every result with the CPU engine.
        self_test: first run the vectors that the build stores.
    """

    images: Path | None
    count: int | None = None
    folder: Path | None = None
    check: bool = False
    self_test: bool = False

    def __post_init__(self) -> None:
        if self.images is None and not self.self_test:
            raise UsageError("--images: found none, expected pictures to run, or --self-test")
        if self.images is None and (self.check or self.folder is not None):
            raise UsageError("--images: found none, expected pictures for --check and --out")


class BoardRun:
    """A build on a board: pictures in, what every head gives out."""

    def __init__(self, files: BuildFiles, cpu: CpuModel, link: Link) -> None:
        if not (files.rtl / "top.json").is_file():
            raise UsageError(f"{files.folder}: has no RTL; build it without --until")
        self._words = Words(TopInfo.load(files.rtl))
        self._cpu = cpu
        expected = Expected(
            board_hash(files),
            self._words.picture_bytes,
            self._words.result_bytes,
            str(files.folder),
        )
        self.host = Host(
            link.open,
            expected,
            link.seconds(self._words),
            f"{link.port}, {link.baud} baud",
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


def run(
    files: BuildFiles, link: Link, asked: Asked, doubts: list[str], progress: Progress
) -> dict[str, Any]:
    """See ``flows.api.run``."""
    cpu = load_cpu_model(files.packed)
    task = cpu.known_task
    check_folder(task, asked.folder, files.folder)
    stored = vectors.read(files.vectors) if asked.self_test or asked.check else None
    given = None
    if asked.images is not None:
        chosen = choose(asked.images, asked.count)
        if task is not None:
            task.check_folder(asked.folder, asked.images, chosen.paths)
        given = chosen.read(cpu, progress)
    result: dict[str, Any] = {
        "task": task and task.name, "pictures": 0, "seconds": 0.0, "pictures_per_second": 0.0,
        "self_test": None, "check": None,
    }  # fmt: skip
    with _connected(files, cpu, link) as board:
        if asked.self_test:
            assert stored is not None
            names = [f"vector {i}" for i in range(len(stored.pictures))]
            found = board.run(stored.pictures, names, "self-test", progress)
            result["self_test"] = board.compared(stored.results, found, stored.distinct, names)
        if given is not None and asked.images is not None:
            began = time.perf_counter()
            found = board.run(given.pixels, given.names, "pictures on the board", progress)
            seconds = time.perf_counter() - began
            result |= {
                "pictures": len(found[0]),
                "seconds": seconds,
                "pictures_per_second": len(found[0]) / seconds,
            }
            if stored is not None and asked.check:
                result["check"] = _check(cpu, board, found, given, stored)
            if task is not None:
                result["predictions"] = task.predictions(
                    board.outputs(found), cpu.classes, asked.images, given.paths, asked.folder
                )
        result["status"] = _counters(board.host.status())
        result["troubles"] = asdict(board.host.finish())
    checks = [c for c in (result["self_test"], result["check"]) if c is not None]
    result["values_differing"] = sum(c["values_differing"] for c in checks)
    notes = given.notes if given is not None else []
    return {**result, "notes": [*doubts, *cpu.notes, *notes, *cpu.does]}


@contextlib.contextmanager
def _connected(files: BuildFiles, cpu: CpuModel, link: Link) -> Iterator[BoardRun]:
    board = BoardRun(files, cpu, link)
    try:
        yield board
    finally:
        board.host.close()


def _check(
    cpu: CpuModel, board: BoardRun, found: Sequence[IntArray], given: Given, stored: vectors.Vectors
) -> dict[str, Any]:
    """Compare results with the CPU engine's; say what such a comparison covers."""
    told = cpu.engine.infer(given.pixels)
    expected = [told[head.name] for head in cpu.engine.heads]
    shown = [output.values for output in board.outputs(found).values()]
    return {
        **board.compared(expected, shown, stored.distinct, given.names),
        "layers": len(found),
        "layers_total": stored.layers,
        "not_covered": stored.not_covered,
    }


def _counters(status: Status) -> dict[str, Any]:
    """What the board tells at the end, ready for JSON."""
    return {**asdict(status), "build": status.build.hex()}

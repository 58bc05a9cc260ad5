# SPDX-License-Identifier: Apache-2.0
"""``andpop run``: pictures on a board at a serial port, or on one that is simulated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...hw.targets import vectors
from ...hw.targets.serial.link import Status
from ...quant.grid import IntArray
from ..errors import UsageError
from ..files import BuildFiles
from ..models import CpuModel, load_cpu_model
from ..on_board import BoardRun, Line, connected
from ..pictures import Given, choose
from ..progress import Progress
from .infer import check_folder


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


def run(
    files: BuildFiles, line: Line, asked: Asked, doubts: list[str], progress: Progress
) -> dict[str, Any]:
    """See ``flows.api.run``."""
    cpu = load_cpu_model(files.packed)
    task = cpu.known_task
    check_folder(task, asked.folder, files.folder)
    stored = vectors.read(files.vectors) if asked.self_test or asked.check else None
    given = None
    if asked.images is not None:
        chosen = choose(asked.images, asked.count, task)
        if task is not None:
            task.check_folder(asked.folder, asked.images, chosen.paths)
        given = chosen.read(cpu, progress)
    result: dict[str, Any] = {
        "task": task and task.name, "pictures": 0, "seconds": 0.0, "pictures_per_second": 0.0,
        "self_test": None, "check": None,
    }  # fmt: skip
    with connected(files, cpu, line, progress) as board:
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

# SPDX-License-Identifier: Apache-2.0
"""A build for a board with a Zynq: its project for Vivado, what the board gets, the bitstream."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ...hw.boards import Board
from ...hw.cpu.engine import Engine
from ...hw.graph.heads import heads_of
from ...hw.targets import vectors
from ...hw.targets.zynq import Project, TargetError, emit_project
from ...hw.targets.zynq.deploy import Content, write_deploy
from ...quant import tasks
from ...sim.tools import ToolMissing
from ..errors import CheckFailed, UsageError
from ..files import BuildFiles
from ..progress import Progress
from ..projects import refreshed, resource_row

LOG = "vivado.log"
LARGEST = 3
"""Consumers that a refusal names."""


def vivado(
    files: BuildFiles, board: Board, place: Path, check: bool, progress: Progress
) -> dict[str, Any]:
    """Write the project of a build and run Vivado on it; see ``flows.api.bitstream``.

    Raises:
        CheckFailed: the board is of another family than the build, too small, or Vivado failed.
        ToolMissing: no Vivado; the project is complete.
    """
    resources = stated_fit(files, board)
    progress("project", 0, 1)
    try:
        project = refreshed(place, lambda to: zynq_project(files, board, to))
    except TargetError as error:
        raise CheckFailed(str(error)) from error
    progress("project", 1, 1)
    wanted = [place / project.bitstream, place / project.hwh]
    steps: list[dict[str, Any]] = []
    if not check and not all(file.is_file() for file in wanted):
        steps.append(_run(project, place, progress))
    there = [file for file in wanted if file.is_file()]
    return {
        "tools": {"vivado": shutil.which("vivado")},
        "placed": len(there) == len(wanted),
        "resources": resources,
        "asked_mhz": json.loads((files.rtl / "top.json").read_text(encoding="utf-8"))["clock_mhz"],
        "reached_mhz": None,
        "link_fps": None,
        "steps": steps,
        "files": [str(file) for file in (place / project.settings, *there)],
        "missing": [f"{file}: Vivado makes it" for file in wanted if file not in there],
        "program": f"copy {place / 'deploy'} to the board; its README says the rest",
    }


def zynq_project(files: BuildFiles, board: Board, place: Path) -> Project:
    """Write the project of a build, ``deploy`` of it but for bit file and hwh; nothing is run.

    Args:
        files: a build with its packed model and its RTL, FIFOs sized.
        board: a board with a Zynq.
        place: where the project goes.

    Raises:
        UsageError: the build has no RTL, or no packed model.
        EmitError: the RTL cannot be read.
        TargetError: it is not for that board.
        VectorsError: the build stores no vectors.
    """
    for file in (files.rtl / "top.json", files.packed):
        if not file.is_file():
            raise UsageError(f"{file}: no such file; build it without --until")
    from onnx import load

    project = emit_project(files.folder, board, place)
    engine, stored = Engine.load(files.packed), vectors.read(files.vectors)
    heads, card = heads_of(load(files.lowered)), engine.card or {}
    task = tasks.of_heads([head.kind for head in heads])
    content = Content(
        card.get("network", files.folder.resolve().name),
        task.name if task else "",
        engine.classes,
        heads,
        card.get("resize", "bilinear"),
        stored.pictures,
        list(stored.results),
    )
    write_deploy(project, content)
    return project


def stated_fit(files: BuildFiles, board: Board) -> list[dict[str, Any]]:
    """What the build states that it takes, as parts of the board.

    Raises:
        CheckFailed: more than the board has; names the three nodes that take most.
    """
    if not files.fit.is_file():
        raise UsageError(f"{files.fit}: no such file; build again")
    stated = json.loads(files.fit.read_text(encoding="utf-8"))
    rows = [
        resource_row(r["resource"], f"{r['called']}, stated", r["used"], board)
        for r in stated["resources"]
        if r["resource"] in board.capacity
    ]
    worst = max(rows, key=lambda row: row["share"])
    if worst["share"] > 1:
        key = worst["resource"]
        nodes = sorted(stated["nodes"], key=lambda node: -node[key])[:LARGEST]
        most = ", ".join(f"{node['name']} {node[key]:,}" for node in nodes)
        raise CheckFailed(
            f"{board.name}: found {worst['used']:,} {worst['called']}, it has {worst['have']:,} "
            f"({worst['share']:.0%}); most of them: {most}; build with --board {board.name}"
        )
    return rows


def _run(project: Project, place: Path, progress: Progress) -> dict[str, Any]:
    """Run Vivado in the project; its output goes to a log there."""
    program, *arguments = project.command
    found = shutil.which(program)
    if found is None:
        raise ToolMissing(
            f"{program}: not found on PATH; the project in {place} is complete: run "
            f"`{' '.join(project.command)}` in it where Vivado is"
        )
    began = time.perf_counter()
    progress("vivado", 0, 1)
    with (place / LOG).open("w", encoding="utf-8") as log:
        code = subprocess.run(
            [found, *arguments], cwd=place, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    lines = (place / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith(("ERROR", "CRITICAL"))]
    made = all((place / name).is_file() for name in (project.bitstream, project.hwh))
    if code or not made:
        said = " | ".join(errors[-2:]) or f"it ended with {code} and left no bit file"
        raise CheckFailed(f"{program} failed: {said}; see {place / LOG}")
    progress("vivado", 1, 1)
    return {"step": "vivado", "seconds": time.perf_counter() - began, "skipped": False}

# SPDX-License-Identifier: Apache-2.0
"""From a project to a netlist by Yosys, and to a bit file by openXC7's tools where they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from .....sim.cache import building, content_key, finished, scratch
from .....sim.tools import ToolMissing
from ....synth import yosys
from ....synth.yosys import SynthesisError, SynthResult
from ..project import Project
from .folder import BIT, FOLDER, LOG, NETLIST, SCRIPT
from .top import CLOCK, TOP

TOOL = "nextpnr-xilinx"
PLACES = ("CHIPDB", "PRJXRAY_DB_DIR")
"""Variables that say where its databases are."""
CELLS = {"PS7", "BUFG"}
"""Cells of the top that take nothing of the fabric."""


@dataclass(frozen=True)
class Mapped:
    """A project's netlist."""

    netlist: Path
    """Yosys' JSON, as nextpnr-xilinx reads it."""
    used: dict[str, int]
    """What it takes, by a board's names."""
    skipped: bool
    """It was there before."""


def synthesise(project: Project) -> Mapped:
    """Map a project to cells of the 7 series, or return the finished netlist of the same content.

    Raises:
        ToolMissing: no Yosys.
        SynthesisError: a source is refused, or a cell is not known.
    """
    tool = yosys.version()
    script = (project.folder / FOLDER / SCRIPT).read_text(encoding="ascii").splitlines()
    names = sorted(
        file.relative_to(project.folder).as_posix()
        for folder in ("rtl", FOLDER)
        for file in (project.folder / folder).rglob("*")
        if file.is_file() and file.suffix in (".v", ".sv", ".mem", ".dat", ".hex")
    )
    key = content_key("openxc7", tool, script, names, *(project.folder / n for n in names))
    known = finished(key) is not None
    with building(key) as (final, work):
        if work is not None:
            with scratch("yosys") as folder:
                for name in (*names, NETLIST):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                for name in names:
                    shutil.copyfile(project.folder / name, folder / name)
                yosys.run(script, folder / "rtl", TOP)
                stat = json.loads((folder / "rtl/stat.json").read_text(encoding="utf-8"))
                cells = stat["design"]["num_cells_by_type"]
                yosys.checked(TOP, {k: n for k, n in cells.items() if k not in CELLS})
                (work / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
                shutil.move(folder / NETLIST, work / Path(NETLIST).name)
    netlist = final / Path(NETLIST).name
    found = SynthResult(json.loads((final / "cells.json").read_text(encoding="utf-8")), netlist)
    used = {
        "lut": found.luts + found.lutram, "ff": found.ffs, "bram18": found.bram18,
        "dsp": found.dsp,
    }  # fmt: skip
    return Mapped(netlist, used, known)


def deliver(project: Project, mapped: Mapped) -> None:
    """Put the netlist into the project, whole or not at all."""
    target = project.folder / NETLIST
    if target.is_file() and target.read_bytes() == mapped.netlist.read_bytes():
        return
    (project.folder / BIT).unlink(missing_ok=True)
    target.parent.mkdir(exist_ok=True)
    partial = target.with_suffix(".partial")
    shutil.copyfile(mapped.netlist, partial)
    partial.replace(target)


def require_tools(project: Project) -> None:
    """Check that nextpnr-xilinx and its databases are there.

    Raises:
        ToolMissing: they are not; says what to run where they are.
    """
    line = f"`CHIPDB=... PRJXRAY_DB_DIR=... sh {project.folder / FOLDER / 'make.sh'}`"
    if shutil.which(TOOL) is None:
        raise ToolMissing(
            f"{TOOL}: not found on PATH; the project in {project.folder} is complete: run {line} "
            "where openXC7 is"
        )
    for name in PLACES:
        if not Path(os.environ.get(name) or "/nowhere").is_dir():
            raise ToolMissing(
                f"{TOOL}: found {name}={os.environ.get(name, '')!r}, expected a folder of openXC7; "
                f"set it, or run {line}"
            )


def run(project: Project, seed: int) -> None:
    """Place, route and pack a project with its netlist.

    Args:
        project: with its netlist, see `deliver`; gets its bit file.
        seed: of the placement.

    Raises:
        SynthesisError: a tool failed; quotes its errors.
    """
    folder = project.folder / FOLDER
    (project.folder / BIT).unlink(missing_ok=True)
    last: deque[str] = deque(maxlen=200)
    with subprocess.Popen(
        ["sh", "make.sh"], cwd=folder, env={**os.environ, "SEED": str(seed)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            for line in process.stdout or ():
                last.append(line.rstrip())
        except BaseException:
            # The shell alone would leave what it has started.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode or not (project.folder / BIT).is_file():
        errors = [line for line in last if "ERROR" in line]
        said = " | ".join(errors[-2:] or [line for line in last if line][-2:])
        ended = f"it ended with {process.returncode} and left no bit file"
        raise SynthesisError(f"{project.board}: openXC7 failed: {said or ended}; see {folder}/out")


def reached_mhz(project: Project) -> float | None:
    """Return the clock that nextpnr-xilinx found in its last run, None where it does not say."""
    log = project.folder / LOG
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    reached = re.findall(rf"Max frequency for clock +'{CLOCK}': ([0-9.]+) MHz", text)
    return float(reached[-1]) if reached else None

# SPDX-License-Identifier: Apache-2.0
"""A build for a board with a Zynq-7000, without Vivado: netlist by Yosys, bit file by openXC7."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...hw.boards import Board
from ...hw.rtl.top_info import TopInfo
from ...hw.synth import yosys
from ...hw.synth.yosys import SynthesisError
from ...hw.targets.zynq import TargetError
from ...hw.targets.zynq.openxc7 import flow
from ...hw.targets.zynq.openxc7.folder import BIT, FOLDER, NETLIST, possible
from ...hw.targets.zynq.system import System
from ..errors import CheckFailed
from ..files import BuildFiles
from ..progress import Progress
from ..projects import refreshed, resource_row
from .vivado import stated_fit, zynq_project

WORDS = {"lut": "LUTs", "ff": "flip-flops", "bram18": "block RAMs", "dsp": "DSPs"}


def openxc7(
    files: BuildFiles, board: Board, place: Path, check: bool, seed: int, progress: Progress
) -> dict[str, Any]:
    """Write the project of a build, its netlist, and its bit file; see ``flows.api.bitstream``.

    Raises:
        CheckFailed: the network cannot go this way, the board is too small, or a tool failed.
        ToolMissing: nextpnr-xilinx is not there; the project is complete, with its netlist.
    """
    stated_fit(files, board)
    why = possible(System(TopInfo.load(files.rtl)), board)
    if why:
        raise CheckFailed(f"--flow openxc7: {why}; use --flow vivado")
    try:
        project = refreshed(place, lambda to: zynq_project(files, board, to))
    except TargetError as error:
        raise CheckFailed(str(error)) from error
    project = replace(project, folder=place)
    steps: list[dict[str, Any]] = []
    try:
        began = time.perf_counter()
        progress("synthesis", 0, 1)
        mapped = flow.synthesise(project)
        flow.deliver(project, mapped)
        progress("synthesis", 1, 1)
        steps.append(_step("synthesis", began, mapped.skipped))
        rows = [resource_row(name, WORDS[name], used, board) for name, used in mapped.used.items()]
        worst = max(rows, key=lambda row: row["share"])
        if worst["share"] > 1:
            raise CheckFailed(
                f"{board.name}: found {worst['used']:,} {worst['called']}, it has "
                f"{worst['have']:,}; build with a larger --target-cycles"
            )
        if not check and not (place / BIT).is_file():
            flow.require_tools(project)
            began = time.perf_counter()
            progress("place and route", 0, 1)
            flow.run(project, seed)
            progress("place and route", 1, 1)
            steps.append(_step("place and route", began, False))
    except SynthesisError as error:
        raise CheckFailed(str(error)) from error
    made = (place / BIT).is_file()
    return {
        "tools": {"yosys": yosys.version(), "nextpnr-xilinx": None},
        "placed": made,
        "resources": rows,
        "asked_mhz": json.loads((files.rtl / "top.json").read_text(encoding="utf-8"))["clock_mhz"],
        "reached_mhz": flow.reached_mhz(project) if made else None,
        "link_fps": None,
        "steps": steps,
        "files": [str(place / NETLIST), *([str(place / BIT)] if made else [])],
        "missing": [] if made else [f"{place / BIT}: openXC7 makes it"],
        "program": f"copy andpop.bit and andpop.hwh of {place / FOLDER} to {place / 'deploy'}, and "
        "that to the board",
    }


def _step(name: str, began: float, skipped: bool) -> dict[str, Any]:
    return {"step": name, "seconds": time.perf_counter() - began, "skipped": skipped}

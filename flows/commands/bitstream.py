# SPDX-License-Identifier: Apache-2.0
"""``andpop bitstream``: a build, a project folder for its board, the bitstream."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ...hw import boards
from ...hw.rtl.top_info import TopInfo, build_hash
from ...hw.synth import nextpnr, yosys
from ...hw.targets.ecp5 import board as pins
from ...hw.targets.ecp5 import flow, project
from ...sim.tools import ToolMissing
from ..errors import UsageError
from ..files import BuildFiles, open_build
from ..folder import behind_links, writing
from ..progress import Progress
from ..projects import interval, refreshed, resource_row
from .openxc7 import openxc7
from .vivado import vivado

FLOWS = ("vivado", "openxc7")
"""Ways to the bitstream of a Zynq; the first is taken unless told."""


def bitstream(
    folder: Path,
    name: str | None,
    out: Path | None,
    clock_mhz: float | None,
    check: bool,
    seed: int,
    flow_name: str | None,
    progress: Progress,
) -> dict[str, Any]:
    """Make the bitstream of a build; see ``flows.api.bitstream``."""
    began = time.perf_counter()
    files = open_build(folder)
    if not files.rtl.is_dir():
        raise UsageError(f"{folder}: has no RTL; build it without --until")
    info = TopInfo.load(files.rtl)
    if flow_name not in (None, *FLOWS):
        raise UsageError(f"--flow: found {flow_name}, expected one of {', '.join(FLOWS)}")
    board = boards.find(name or info.board)
    own = info.clock_mhz if board.name == info.board else board.clock_mhz
    asked = clock_mhz or own
    if not asked > 0:
        raise UsageError(f"--clock-mhz: found {asked:g}, expected more than 0")
    place = behind_links(out or folder.resolve().with_name(f"{folder.resolve().name}-{board.name}"))
    place.parent.mkdir(parents=True, exist_ok=True)
    with writing(place):
        if board.name in pins.names():
            if flow_name is not None:
                raise UsageError(
                    f"--flow: found {flow_name}, expected none for {board.name}, an ECP5"
                )
            found = _ecp5(files, info, board, place, asked, check, seed, progress)
        else:
            if clock_mhz is not None:
                raise UsageError(
                    f"--clock-mhz: found {clock_mhz:g}, expected none for {board.name}: its clock "
                    "is that of the build; build with another one"
                )
            if flow_name == "openxc7":
                found = openxc7(files, board, place, check, seed, progress)
            else:
                found = vivado(files, board, place, check, progress)
    cycles = interval(files, info)
    return {
        "build": str(folder),
        "folder": str(place),
        "board": board.name,
        "part": board.part,
        "cycles_per_frame": cycles,
        "fps": found["asked_mhz"] * 1e6 / cycles,
        **found,
        "seconds": time.perf_counter() - began,
    }


def _ecp5(
    files: BuildFiles, info: TopInfo, board: boards.Board, place: Path, asked: float,
    check: bool, seed: int, progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """By Yosys and nextpnr: the part of the result that is this family's."""
    digest = build_hash(files.rtl)
    made = refreshed(
        place, lambda to: project.write(files.rtl, to, pins.find(board.name), asked, digest)
    ).at(place)
    try:
        found = flow.run(made, board, check=check, seed=seed, progress=progress)
    except ToolMissing as error:
        raise ToolMissing(
            f"{error}; the project in {place} is complete: sh {place / 'make.sh'} makes the "
            "bitstream with tools on PATH"
        ) from error
    bit = place / project.BIT
    return {
        "tools": {"yosys": yosys.version(), "nextpnr": None if check else nextpnr.version()},
        "placed": found.mhz is not None,
        "resources": [
            resource_row(resource, flow.WORDS[resource], used, board)
            for resource, used in found.used.items()
        ],
        "asked_mhz": made.pll.mhz,
        "reached_mhz": found.mhz,
        "link_fps": made.link_fps,
        "steps": found.steps,
        "files": [str(file) for file in found.files],
        "missing": [] if not check else ["the bitstream: --check stops before place and route"],
        "program": None if check else made.board.program.format(bit=bit),
    }

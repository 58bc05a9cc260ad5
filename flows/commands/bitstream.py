# SPDX-License-Identifier: Apache-2.0
"""``andpop bitstream``: a build, a project folder for its board, the bitstream."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from ...hw import boards
from ...hw.rtl.top_info import TopInfo
from ...hw.synth import nextpnr, yosys
from ...hw.targets.ecp5 import board as pins
from ...hw.targets.ecp5 import flow, project
from ...sim.tools import ToolMissing
from ..build import digest
from ..errors import CheckFailed, UsageError
from ..files import BuildFiles, open_build
from ..folder import behind_links, beside, writing
from ..progress import Progress


def bitstream(
    folder: Path,
    name: str | None,
    out: Path | None,
    clock_mhz: float | None,
    check: bool,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Make the bitstream of a build; see ``flows.api.bitstream``."""
    began = time.perf_counter()
    files = open_build(folder)
    if not files.rtl.is_dir():
        raise UsageError(f"{folder}: has no RTL; build it without --until")
    info = TopInfo.load(files.rtl)
    board = boards.find(name or info.board)
    if board.name not in pins.names():
        raise CheckFailed(
            f"{board.name}: found no way to a bitstream, expected --board with one of "
            f"{', '.join(pins.names())}; boards of the {board.family} family come as a Vivado "
            "project, which is not there yet"
        )
    own = info.clock_mhz if board.name == info.board else board.clock_mhz
    asked = clock_mhz or own
    if not asked > 0:
        raise UsageError(f"--clock-mhz: found {asked:g}, expected more than 0")
    place = behind_links(out or folder.resolve().with_name(f"{folder.resolve().name}-{board.name}"))
    place.parent.mkdir(parents=True, exist_ok=True)
    with writing(place):
        made = _write(files, place, pins.find(board.name), asked)
        try:
            found = flow.run(made, board, check=check, seed=seed, progress=progress)
        except ToolMissing as error:
            raise ToolMissing(
                f"{error}; the project in {place} is complete: sh {place / 'make.sh'} makes the "
                "bitstream with tools on PATH"
            ) from error
    cycles = _interval(files, info)
    wanted = [] if check else [place / project.BIT, place / project.SVF]
    return {
        "build": str(folder),
        "folder": str(place),
        "board": board.name,
        "part": board.part,
        "tools": {"yosys": yosys.version(), "nextpnr": None if check else nextpnr.version()},
        "placed": found.mhz is not None,
        "resources": [
            {
                "resource": resource,
                "called": flow.WORDS[resource],
                "used": used,
                "have": board.capacity[resource],
                "share": used / max(1, board.capacity[resource]),
            }
            for resource, used in found.used.items()
        ],
        "asked_mhz": made.pll.mhz,
        "reached_mhz": found.mhz,
        "cycles_per_frame": cycles,
        "fps": made.pll.mhz * 1e6 / cycles,
        "link_fps": made.link_fps,
        "steps": found.steps,
        "files": [str(file) for file in found.files],
        "missing": [] if not check else ["the bitstream: --check stops before place and route"],
        "program": made.board.program.format(bit=place / project.BIT) if wanted else None,
        "seconds": time.perf_counter() - began,
    }


def _interval(files: BuildFiles, info: TopInfo) -> int:
    """Cycles from one picture to the next: measured where FIFOs were sized, else as stated."""
    if files.sizing.is_file():
        measured = json.loads(files.sizing.read_text(encoding="utf-8"))["interval"]
        return int(measured)
    return info.slowest.cycles


def _write(
    files: BuildFiles, place: Path, board: pins.Ecp5Board, clock_mhz: float
) -> project.Project:  # fmt: skip
    """Write the project, or leave the one that is there if it is the same.

    Raises:
        UsageError: ``place`` holds something else.
    """
    marker = place / project.MARKER
    if (
        place.exists()
        and not marker.is_file()
        and not (place.is_dir() and not any(place.iterdir()))
    ):
        raise UsageError(f"{place}: exists and is no project of andpop; choose another --out")
    staging, old = beside(place, "partial"), beside(place, "old")
    for left in (staging, old):
        shutil.rmtree(left, ignore_errors=True)
    staging.mkdir()
    try:
        build_hash = bytes.fromhex(digest(files.rtl))
        made = project.write(files.rtl, staging, board, clock_mhz, build_hash)
        if _same(staging, place):
            return made.at(place)
        if place.exists():
            place.rename(old)
        staging.rename(place)
        return made.at(place)
    finally:
        for left in (staging, old):
            shutil.rmtree(left, ignore_errors=True)


def _same(new: Path, old: Path) -> bool:
    """Whether all that was written now lies in an older project already, and no other source."""
    names = {p.relative_to(new) for p in new.rglob("*") if p.is_file()}
    sources = {p.relative_to(old) for p in (old / "rtl").rglob("*") if p.is_file()}
    return sources <= names and all(
        (old / name).is_file() and (old / name).read_bytes() == (new / name).read_bytes()
        for name in names
    )

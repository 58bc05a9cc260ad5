# SPDX-License-Identifier: Apache-2.0
"""From a project folder to a bitstream: synthesis, place and route, packing.

Every step is kept by its content, so that one that was interrupted, or whose inputs have not
changed, is not run again; only what is whole reaches the project folder.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....sim.cache import building, content_key, finished, scratch
from ...boards import Board
from ...synth import ecp5, nextpnr
from ...synth.ecp5_edit import Module
from ...synth.netlist import Netlist
from ...synth.yosys import SynthesisError
from .project import BIT, LOG, PLL_CELL, REPORT, ROUTED, SVF, TOP, Project

Progress = Callable[[str, int, int], None]

RESOURCES = {"lut": "lut4", "ff": "ff", "bram18": "ebr", "dsp": "mult18"}
"""A board's names of what ``ecp5.usage`` counts."""
WORDS = {"lut": "LUTs", "ff": "flip-flops", "bram18": "block RAMs", "dsp": "multipliers"}
LARGEST = 3
"""Consumers that a refusal names."""
CELLS = {
    "TRELLIS_COMB": "lut", "TRELLIS_FF": "ff", "DP16KD": "bram18", "MULT18X18D": "dsp",
}  # fmt: skip
"""nextpnr's names of the same."""
NODE = re.compile(r"u_serial\.u_network\.u_(\w+)")
LINK = "serial link"
BARS = 100
"""Parts that routing is told in."""


class DoesNotFit(RuntimeError):
    """The design takes more than the part has; the message says of what, and who takes most."""


class TooSlow(RuntimeError):
    """The routed design does not hold the clock; the message says which one it does."""


@dataclass
class Outcome:
    """What was found on the way, as far as it went."""

    used: dict[str, int] = field(default_factory=dict)
    """Of the part, by a board's names; as nextpnr counts it once it has run, else as mapped."""
    mhz: float | None = None
    """Clock that the routed design holds."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    """``{step, seconds, skipped}``."""
    files: list[Path] = field(default_factory=list)
    """What was written beside the project."""


def run(
    project: Project, board: Board, *, check: bool, seed: int, progress: Progress
) -> Outcome:  # fmt: skip
    """Make the bitstream of a project, or find out whether it fits.

    Args:
        project: as written; gets the files of the bitstream.
        board: what the part has.
        check: stop before place and route.
        seed: of the placement.
        progress: called with (stage, done, total).

    Raises:
        ToolMissing: a tool is not installed.
        SynthesisError: a tool refused the design.
        DoesNotFit, TooSlow: see there.
    """
    outcome = Outcome()
    netlist = _timed(outcome, "synthesis", lambda: synthesise(project, progress))
    packed = ecp5.packed(netlist, TOP)
    module = Netlist.of(TOP, packed)
    used = ecp5.usage(module.cells)
    outcome.used = {name: used[key] for name, key in RESOURCES.items()}
    require_fit(outcome.used, board, module)
    if check:
        return outcome
    routed = _timed(outcome, "place and route", lambda: _route(project, packed, seed, progress))
    report = json.loads((routed / REPORT).read_text(encoding="utf-8"))
    outcome.used = {
        name: report["utilization"].get(cell, {"used": 0})["used"] for cell, name in CELLS.items()
    }
    outcome.mhz = min(clock["achieved"] for clock in report["fmax"].values())
    for name in (REPORT, LOG, ROUTED):
        outcome.files.append(_deliver(routed / name, project.folder))
    if outcome.mhz < project.pll.mhz:
        raise TooSlow(
            f"{project.board.name}: the routed network holds {outcome.mhz:.1f} MHz, expected "
            f"{project.pll.mhz:g}; give another --seed, or --clock-mhz {int(outcome.mhz)}"
        )
    bits = _timed(outcome, "packing", lambda: _pack(project, routed, progress))
    for name in (BIT, SVF):
        outcome.files.append(_deliver(bits / name, project.folder))
    return outcome


def _timed(outcome: Outcome, step: str, work: Callable[[], tuple[Path, bool]]) -> Path:
    """Run a step that returns its result and whether that was there before."""
    began = time.perf_counter()
    path, skipped = work()
    seconds = time.perf_counter() - began
    outcome.steps.append({"step": step, "seconds": seconds, "skipped": skipped})
    return path


def synthesise(project: Project, progress: Progress) -> tuple[Path, bool]:
    """Map a project; returns Yosys' JSON and whether it was there before."""
    progress("synthesis", 0, 1)
    sources = [project.rtl / name for name in project.sources]
    began = time.time()
    netlist = ecp5.map_design(
        TOP, sources, memories=project.memories, black_boxes=[PLL_CELL]
    )  # fmt: skip
    progress("synthesis", 1, 1)
    return netlist, netlist.stat().st_mtime < began


def require_fit(used: Mapping[str, int], board: Board, module: Netlist) -> None:
    """Check that a mapped design is no more than the part has.

    Raises:
        DoesNotFit: it is; names the three nodes that take most of what limits.
    """
    share = {name: used[name] / have for name, have in board.capacity.items() if have}
    limiting = max(share, key=lambda name: share[name])
    if share[limiting] <= 1:
        return
    nodes: dict[str, list[Any]] = {}
    for cell in module.cells:
        found = NODE.match(cell.name)
        nodes.setdefault(found[1] if found else LINK, []).append(cell)
    key = RESOURCES[limiting]
    taken = Counter({name: ecp5.usage(cells)[key] for name, cells in nodes.items()})
    most = ", ".join(f"{name} {count:,}" for name, count in taken.most_common(LARGEST))
    raise DoesNotFit(
        f"{board.name}: found {used[limiting]:,} {WORDS[limiting]}, it has "
        f"{board.capacity[limiting]:,} ({share[limiting]:.0%}); most of them: {most}; build with "
        "a larger --target-cycles, a narrower network, or for a larger board"
    )


def _route(
    project: Project, module: Module, seed: int, progress: Progress
) -> tuple[Path, bool]:  # fmt: skip
    tool = nextpnr.prepare()
    netlist = json.dumps({"creator": "andpop", "modules": {TOP: module}})
    options = [
        *project.board.options, *nextpnr.ROUTER, "--freq", f"{project.pll.mhz:g}",
        "--seed", str(seed),
    ]  # fmt: skip
    key = content_key("ecp5-routed", tool, options, project.lpf, netlist)
    known = finished(key) is not None
    with building(key) as (final, work):
        if work is not None:
            with scratch("nextpnr") as folder:
                (folder / "netlist.json").write_text(netlist, encoding="utf-8")
                shutil.copyfile(project.lpf, folder / "board.lpf")
                arguments = [
                    *options, "--json", "netlist.json", "--top", TOP, "--lpf", "board.lpf",
                    "--timing-allow-fail", "--report", REPORT, "--log", LOG, "--write", ROUTED,
                    "--textcfg", "routed.config",
                ]  # fmt: skip
                watch = Watch(progress)
                nextpnr.run(nextpnr.NEXTPNR, arguments, folder, project.board.name, watch)
                for name in (REPORT, LOG, ROUTED, "routed.config"):
                    shutil.move(folder / name, work / name)
    progress("place and route", BARS, BARS)
    return final, known


def _pack(project: Project, routed: Path, progress: Progress) -> tuple[Path, bool]:
    key = content_key("ecp5-packed", nextpnr.version(), routed / "routed.config")
    known = finished(key) is not None
    progress("packing", 0, 1)
    with building(key) as (final, work):
        if work is not None:
            with scratch("ecppack") as folder:
                shutil.copyfile(routed / "routed.config", folder / "routed.config")
                arguments = ["--compress", "--svf", SVF, "routed.config", BIT]
                nextpnr.run(nextpnr.ECPPACK, arguments, folder, project.board.name)
                for name in (BIT, SVF):
                    if not (folder / name).is_file() or not (folder / name).stat().st_size:
                        raise SynthesisError(f"{project.board.name}: ecppack wrote no {name}")
                    shutil.move(folder / name, work / name)
    progress("packing", 1, 1)
    return final, known


def _deliver(source: Path, folder: Path) -> Path:
    """Copy a finished file into the project, whole or not at all."""
    partial = folder / f".{source.name}.partial"
    try:
        shutil.copyfile(source, partial)
        partial.replace(folder / source.name)
    finally:
        partial.unlink(missing_ok=True)
    return folder / source.name


class Watch:
    """Tells from nextpnr's lines how far it is: cells spread, cells moved, wires shared no more."""

    SPREAD, MOVED = BARS // 5, 3 * BARS // 5
    SPREADING = re.compile(r"at iteration #(\d+), type")
    MOVING = re.compile(r"at iteration #(\d+): temp")
    ROUTING = re.compile(r"iter=\d+ wires=\d+ overused=(\d+)")

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._placed = 0
        self._first = self._began = 0.0
        progress("place and route: packing", 0, BARS)

    def __call__(self, line: str) -> None:
        spreading, moving = self.SPREADING.search(line), self.MOVING.search(line)
        routing = self.ROUTING.search(line)
        if spreading:
            # Counted anew after a first pass.
            self._placed = min(self.SPREAD, max(self._placed, int(spreading[1])))
        elif moving:
            self._placed = min(self.MOVED, max(self._placed, self.SPREAD + int(moving[1])))
        if spreading or moving:
            self._progress("place and route: placing", self._placed, BARS)
        elif routing:
            # From one iteration to the next about half of them become free.
            left = math.log1p(int(routing[1]))
            if not self._first:
                self._first, self._began = max(left, 1.0), time.monotonic()
            share = max(0.0, 1 - left / self._first)
            done = self.MOVED + int(share * (BARS - self.MOVED))
            self._progress(f"place and route: routing{self._rest(share)}", done, BARS)

    def _rest(self, share: float) -> str:
        if share < 0.05:
            return ""
        seconds = (time.monotonic() - self._began) * (1 - share) / share
        return f", about {seconds / 60:.0f} min" if seconds >= 90 else f", about {seconds:.0f} s"

# SPDX-License-Identifier: Apache-2.0
"""The project folder of a network for an ECP5: all that a bitstream is made of, no tool needed."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...rtl.top_info import EmitError, TopInfo
from ...synth import ecp5, nextpnr, yosys
from .. import PROJECT
from ..serial.network import BAUD, FRAME_BYTES, Link, write_network
from . import pll as plls
from .board import Ecp5Board

HERE = Path(__file__).parent
TOP = "ecp5_top"
PLL_CELL = "EHXPLLL"
BIT, SVF, ROUTED, REPORT, LOG = (
    "network.bit", "network.svf", "routed.json", "report.json", "nextpnr.log",
)  # fmt: skip
"""Files of a finished project."""


@dataclass(frozen=True)
class Project:
    """A written project folder."""

    folder: Path
    board: Ecp5Board
    info: TopInfo
    link: Link
    pll: plls.Pll
    sources: tuple[str, ...]
    """In compile order, relative to ``rtl``."""

    @property
    def rtl(self) -> Path:
        """Folder of the sources, which memories are relative to."""
        return self.folder / "rtl"

    @property
    def lpf(self) -> Path:
        """Pins and clock."""
        return self.folder / "board.lpf"

    @property
    def memories(self) -> dict[str, Path]:
        """Files that the design reads at start, by the names in its sources."""
        return {name: self.rtl / name for name in self.info.memories}

    def at(self, folder: Path) -> Project:
        """The same project, moved."""
        return replace(self, folder=folder)

    @property
    def link_fps(self) -> float:
        """Pictures per second that the line can carry, were no byte escaped."""
        slowest = max(self.link.picture_bytes, self.link.result_bytes + 1) + FRAME_BYTES
        return BAUD / 10 / slowest


def write(
    rtl: Path, folder: Path, board: Ecp5Board, clock_mhz: float, build_hash: bytes
) -> Project:
    """Write a project folder.

    Args:
        rtl: folder written by ``emit_top``.
        folder: an empty folder.
        board: its pins.
        clock_mhz: clock of the network; the PLL comes as near as it can from below.
        build_hash: SHA-256 of the build.

    Raises:
        EmitError: ``rtl`` holds no emitted network, or a file is missing.
        NoClock: the PLL cannot make the clock.
    """
    info = TopInfo.load(rtl)
    pll = plls.find(board.clock.mhz, clock_mhz)
    project = Project(folder, board, info, Link.of(info, build_hash, pll.mhz), pll, ())
    for name in (*info.sources, *info.memories):
        if not (rtl / name).is_file():
            raise EmitError(f"{rtl / name}: no such file; emit the RTL again")
        target = project.rtl / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(rtl / name, target)
    around = project.rtl / "board"
    around.mkdir()
    written, network = write_network(info, around, build_hash, pll.mhz)
    for source in (*written, HERE / "EHXPLLL.v", ecp5.BRAMS):
        if source.parent != around:
            shutil.copyfile(source, around / source.name)
    names = [source.name for source in written]
    sources = (*info.sources, *(f"board/{name}" for name in ("EHXPLLL.v", *names, f"{TOP}.sv")))
    texts = {
        f"rtl/board/{TOP}.sv": "ecp5_top.sv.j2",
        "board.lpf": "board.lpf.j2",
        "make.sh": "make.sh.j2",
        "README.md": "project_readme.md.j2",
    }
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    for name, template in texts.items():
        text = environment.get_template(template).render(
            board=board, pll=pll, clock_hz=round(pll.mhz * 1e6), baud=BAUD, network=network,
            bit=BIT, svf=SVF, digest=build_hash[:16].hex(),
            options=(*board.options, *nextpnr.ROUTER),
            program=board.program.format(bit=BIT),
        )  # fmt: skip
        (folder / name).write_text(text, encoding="utf-8")
    about = {"board": board.name, "clock_mhz": pll.mhz, "baud": BAUD, "build": build_hash.hex()}
    (folder / PROJECT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    (folder / "synth.ys").write_text(_script(sources), encoding="ascii")
    return Project(folder, board, info, project.link, pll, sources)


def _script(sources: tuple[str, ...]) -> str:
    """Commands for a Yosys on PATH, run in ``rtl``: what ``ecp5.map_design`` runs."""
    defines = " ".join(f"-D{name}" for name in (*yosys.DEFINES, "ANDPOP_PRIMITIVES=0"))
    read = (
        f"read_slang --threads 1 --allow-use-before-declare --ignore-assertions "
        f"--blackboxed-module {PLL_CELL} {defines} --top {TOP} {' '.join(sources)}"
    )
    lines = [
        read,
        *ecp5.synthesis(TOP, f"board/{ecp5.BRAMS.name}"),
        "write_json ../out/netlist.json",
    ]
    return "\n".join(lines) + "\n"

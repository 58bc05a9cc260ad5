# SPDX-License-Identifier: Apache-2.0
"""From an emitted network to the folder of a project for Vivado, complete before Vivado is asked.

    rtl/                the network as it was emitted, memories read as "./...", and axi/ around it
    vivado.tcl          from these files to bit file and hwh, in one batch run
    andpop.xdc          constraints beside those of the block design
    deploy/             what the board gets: settings.json now, andpop.bit and andpop.hwh by Vivado
    openxc7/            a PS7 beside it, script and constraints for openXC7, where the board has one
    project.json        what is in the folder
    README.md           the one command to run

The folder can be moved: all paths in it are relative to it.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

from qonnx.core.modelwrapper import ModelWrapper

from ...boards import Board, find
from ...kernels.base import HW
from ...kernels.ops import op_of
from ...rtl.top_info import TopInfo, build_hash
from .. import PROJECT
from .openxc7 import folder as openxc7
from .settings import settings
from .system import DATA_BITS, System
from .vivado import constraints, readme, script

HERE = Path(__file__).parent
RTL = "rtl"
OWN = f"{RTL}/axi"
"""Where the RTL around the network lies."""
SHARED = (
    "rtl/loop_counter.sv",
    "rtl/stream_register.sv",
    "rtl/output_register.sv",
    "rtl/width_up.sv",
    "rtl/width_down.sv",
    "kernels/streaming_fifo/streaming_fifo.sv",
)
"""Sources of kernels that the RTL around the network uses, too."""
FAMILIES = ("xc7", "xcup")
"""Families whose boards here are Zynqs: with a PS7, with a PS8."""


class TargetError(ValueError):
    """No project can be written; the message says why and what to do."""


@dataclass(frozen=True)
class Project:
    """The folder of a project; paths are relative to it."""

    folder: Path
    board: str
    top: str
    """Top module of the RTL without a block design."""
    sources: tuple[str, ...]
    """RTL in compile order."""
    memories: tuple[str, ...]
    script: str
    settings: str
    bitstream: str
    """What the script makes; not there before it ran."""
    hwh: str
    """The same of the description that pynq reads."""
    command: tuple[str, ...]
    """What to run in the folder."""
    build_hash: str
    """32 hexadecimal digits that the bit file shows of itself."""

    @staticmethod
    def load(folder: Path) -> Project:
        """Read what ``emit_project`` wrote.

        Raises:
            TargetError: the folder holds no project of this version.
        """
        try:
            listed = json.loads((folder / PROJECT).read_text(encoding="utf-8"))
            found = {f.name: listed[f.name] for f in fields(Project) if f.name != "folder"}
        except (OSError, ValueError, KeyError) as error:
            raise TargetError(
                f"{folder / PROJECT}: cannot be read ({error}); write the project again"
            ) from error
        for name in ("sources", "memories", "command"):
            found[name] = tuple(found[name])
        return Project(folder, **found)


def emit_project(
    build: Path, board: Board, folder: Path | None = None, data_bits: int = DATA_BITS
) -> Project:
    """Write the project of a build for a board with a Zynq; an old one is replaced.

    Nothing is run and no tool is needed: ``command`` of the result is to be run in ``folder``
    where Vivado is, and leaves ``bitstream`` and ``hwh`` there. Equal builds give equal bytes.

    Args:
        build: folder of a build with its emitted RTL, FIFOs sized.
        board: board of the family that the RTL was written for.
        folder: where the project goes; None for ``vivado-<board>`` in the build.
        data_bits: width of the DMAs' ports to memory, 32 or 64.

    Raises:
        EmitError: the build has no RTL, or it cannot be read.
        TargetError: the board has no Zynq, the RTL is for another family or was emitted by
            another version of the program, or a file is missing.
    """
    emitted = build / RTL
    top = TopInfo.load(emitted)
    _check(build, top, board)
    folder = build / f"vivado-{board.name}" if folder is None else folder
    if folder.exists():
        shutil.rmtree(folder)
    (folder / OWN).mkdir(parents=True)
    (folder / "deploy").mkdir()
    copied = _copy_network(emitted, top, folder / RTL)
    own = _copy_own(folder, copied)
    system = System(top, data_bits)
    # The RTL around the network too: settings are for both.
    shown = build_hash(folder / RTL).hex()
    written = []
    for module, text in system.verilog(shown):
        (folder / OWN / f"{module}.v").write_text(text, encoding="ascii")
        written.append(f"{OWN}/{module}.v")
    project = Project(
        folder,
        board.name,
        "andpop_axi",
        (*(f"{RTL}/{s}" for s in top.sources), *own, *written),
        tuple(f"{RTL}/{m}" for m in top.memories),
        "vivado.tcl",
        "deploy/settings.json",
        "deploy/andpop.bit",
        "deploy/andpop.hwh",
        ("vivado", "-mode", "batch", "-nojournal", "-notrace", "-source", "vivado.tcl"),
        shown,
    )
    _write(project, system, board)
    openxc7.write(folder, system, board, project.sources, _products(emitted))
    return project


def _products(emitted: Path) -> list[str]:
    """Nodes of a network whose products belong into DSPs; none where its graph is not there."""
    graph = emitted / "stitched.onnx"
    if not graph.is_file():
        return []
    nodes = ModelWrapper(str(graph)).graph.node
    return [node.name for node in nodes if op_of(node).stated().dsp > 0]


def _check(build: Path, top: TopInfo, board: Board) -> None:
    if board.family not in FAMILIES:
        raise TargetError(
            f"board {board.name}: found family {board.family}, expected a Zynq "
            f"({' or '.join(FAMILIES)}); use the flow of that family"
        )
    family = find(top.board).family
    if family != board.family:
        raise TargetError(
            f"{build}: found RTL for {top.board} ({family}), expected {board.family} for "
            f"{board.name}; build again with --board {board.name}"
        )
    if len(top.results) > 15:
        raise TargetError(
            f"{build}: found {len(top.results)} heads, expected 15 at most: the control block has "
            "no room for more; build with fewer heads"
        )


def _copy_network(emitted: Path, top: TopInfo, target: Path) -> dict[str, bytes]:
    """Copy the network's files; return sources by name. Memories are then read as ``./...``."""
    found: dict[str, bytes] = {}
    folders = "|".join(sorted({re.escape(Path(m).parent.as_posix()) for m in top.memories}))
    for name in (*top.sources, *top.memories):
        source = emitted / name
        if not source.is_file():
            raise TargetError(f"{source}: found no such file, expected it; emit the RTL again")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if name in top.memories:
            shutil.copyfile(source, target / name)
            continue
        text = source.read_text(encoding="utf-8")
        found[Path(name).name] = text.encode()
        text = re.sub(rf'"({folders})/', r'"./\1/', text) if folders else text
        (target / name).write_text(text, encoding="utf-8")
    return found


def _copy_own(folder: Path, copied: dict[str, bytes]) -> list[str]:
    """Copy the RTL around the network, but for sources that the network brings along."""
    own = []
    for source in (*(HW / s for s in SHARED), *sorted((HERE / "rtl").glob("*.sv"))):
        content = source.read_bytes()
        known = copied.get(source.name)
        if known is None:
            (folder / OWN / source.name).write_bytes(content)
            own.append(f"{OWN}/{source.name}")
        elif known != content:
            raise TargetError(
                f"{source.name}: found another version of it in the build, expected the one of "
                "this program; emit the RTL again"
            )
    return own


def _write(project: Project, system: System, board: Board) -> None:
    """Write what is no RTL."""
    folder = project.folder
    (folder / project.settings).write_text(
        json.dumps(settings(system, project.build_hash), indent=2) + "\n", encoding="utf-8"
    )
    (folder / project.script).write_text(
        script(system, board, project.sources, project.memories), encoding="ascii"
    )
    (folder / "andpop.xdc").write_text(constraints(project.build_hash), encoding="ascii")
    (folder / "README.md").write_text(
        readme(system, board, project.command, project.build_hash), encoding="ascii"
    )
    listed = {
        "board": project.board,
        "part": board.part,
        "clock_mhz": system.top.clock_mhz,
        "top": project.top,
        "sources": project.sources,
        "memories": project.memories,
        "script": project.script,
        "settings": project.settings,
        "bitstream": project.bitstream,
        "hwh": project.hwh,
        "command": project.command,
        "build_hash": project.build_hash,
    }
    (folder / PROJECT).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")

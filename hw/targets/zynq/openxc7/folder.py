# SPDX-License-Identifier: Apache-2.0
"""The folder ``openxc7`` of a project: what is beside the RTL of the network for these tools.

    andpop_zynq.v   the top: PS7, bridge, network
    gp_bridge.sv    from the PS7's port to the registers
    lut6_2.v        how Yosys takes LUT6_2 apart
    andpop.hwh      what pynq reads beside a bit file
    andpop.xdc      the clock
    primitives.v    ports of the cells that sources name
    rom_luts_*.v    how Yosys maps ROMs
    synth.ys        RTL to netlist, for a Yosys with its slang front end
    make.sh         netlist to bit file
    README.md       what to run

It reads the project's ``rtl`` and can be moved with it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ....boards import Board
from ....synth import yosys
from ..system import DATA_BITS, System
from .hwh import hwh
from .top import CLOCK, MEMORY_PORTS, TOP, top

HERE = Path(__file__).parent
FOLDER = "openxc7"
NETLIST = f"{FOLDER}/out/{TOP}.json"
BIT = f"{FOLDER}/andpop.bit"
LOG = f"{FOLDER}/out/nextpnr.log"
"""Files that the tools leave, relative to the project."""
SCRIPT, BRIDGE, SPLIT, PRIMITIVES = "synth.ys", "gp_bridge.sv", "lut6_2.v", "primitives.v"
CELLS = ("PS7", "BUFG")
"""Cells that the top names, beside those of the network."""
NETWORK = "axi.network0.u_network"
"""Where the network stands in the top."""


def possible(system: System, board: Board) -> str:
    """Return why a network cannot go this way; empty where it can."""
    if board.family != "xc7":
        return f"found {board.name} ({board.family}), expected a Zynq-7000"
    if len(system.dmas) - 1 > MEMORY_PORTS:
        return f"found {len(system.dmas) - 1} heads, expected {MEMORY_PORTS} at most"
    if system.data_bits != DATA_BITS:
        return f"found ports to memory of {system.data_bits} bits, expected {DATA_BITS}"
    return ""


def write(
    project: Path, system: System, board: Board, sources: Sequence[str], dsp: Sequence[str]
) -> None:
    """Write the folder into a project, if the network can go this way.

    Args:
        project: folder of the project.
        system: the network between its DMAs.
        board: the board.
        sources: RTL of the project in compile order.
        dsp: nodes whose products belong into DSPs.
    """
    if possible(system, board):
        return
    folder = project / FOLDER
    folder.mkdir()
    for name in (BRIDGE, SPLIT):
        shutil.copyfile(HERE / name, folder / name)
    (folder / f"{TOP}.v").write_text(top(system), encoding="ascii")
    (folder / "andpop.hwh").write_text(hwh(system, board), encoding="ascii")
    (folder / PRIMITIVES).write_text(yosys.black_boxes() + _zynq_cells(), encoding="ascii")
    (folder / yosys.ROM_LUTS_FILE).write_text(yosys.ROM_LUTS, encoding="ascii")
    commands = script([*sources, f"{FOLDER}/{BRIDGE}", f"{FOLDER}/{TOP}.v"], dsp)
    (folder / SCRIPT).write_text("\n".join(commands) + "\n", encoding="ascii")
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    for name in ("andpop.xdc", "make.sh", "README.md"):
        text = environment.get_template(f"{name}.j2").render(
            board=board, part=board.part, device=board.part.rpartition("-")[0],
            clock=system.top.clock_mhz, net=CLOCK, top=TOP,
        )  # fmt: skip
        (folder / name).write_text(text, encoding="ascii")


def _zynq_cells() -> str:
    """Ports of the PS7, as Yosys knows them, and of the clock buffer."""
    models = yosys.cells_sim().with_name("cells_xtra.v").read_text(encoding="utf-8")
    found = re.search(r"^module PS7\(.*?^endmodule$", models, re.M | re.S)
    if found is None:
        raise yosys.SynthesisError("cells_xtra.v: found no module PS7, expected one per cell")
    ports = re.sub(r"\(\*.*?\*\)", "", found[0])
    return f"{ports}\nmodule BUFG (output O, input I);\nendmodule\n"


def script(sources: Sequence[str], dsp: Sequence[str]) -> list[str]:
    """Return the commands from RTL to a netlist of cells that nextpnr-xilinx packs, run in the
    project's ``rtl``, which memories are relative to.

    Args:
        sources: relative to the project.
        dsp: nodes whose products belong into DSPs; those of all others become LUTs.
    """
    boxes = [f"--blackboxed-module {name}" for name in CELLS]
    read = yosys.read_command(
        [f"../{name}" for name in sources], TOP, options=["--keep-hierarchy", *boxes]
    )
    commands = [
        read.replace(yosys.PRIMITIVES_FILE, f"../{FOLDER}/{PRIMITIVES}"),
        f"hierarchy -check -top {TOP}",
        "select -set soft t:$mul",
    ]
    for name in dsp:
        path = f"*${TOP}.{NETWORK}.u_{name}"
        commands.append(f"select -set soft @soft {path}/* {path}.*/* %u %d")
    commands += [
        "chtype -set $__soft_mul @soft",
        "flatten -noscopeinfo",
        *yosys.LIBRARIES,
        *yosys.mapping(dsp=True, contents=True),
        f"techmap -map ../{FOLDER}/{SPLIT}",
        "clean",
        f"write_json ../{NETLIST}",
    ]
    return [
        line.replace(yosys.ROM_LUTS_FILE, f"../{FOLDER}/{yosys.ROM_LUTS_FILE}") for line in commands
    ]

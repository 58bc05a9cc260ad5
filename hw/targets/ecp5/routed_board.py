# SPDX-License-Identifier: Apache-2.0
"""A board of which the routed netlist is simulated, at its UART's pins."""

from __future__ import annotations

import json
from pathlib import Path

from ....sim.cache import building, content_key
from ....sim.network import FLAGS, OPTIMISATION
from ....sim.verilator import build
from ...rtl.runs import watchdog
from ...rtl.top_info import TopInfo
from .. import PROJECT
from ..serial.simulated import HARNESS, SimulatedBoard
from . import board as boards
from . import lut_table, post_route
from .project import ROUTED, TOP

LINE = Path(__file__).parent / "board_line.hpp"


class NotRouted(RuntimeError):
    """A folder holds no routed project; the message says what is missing."""


def build_routed_board(project: Path, info: TopInfo) -> SimulatedBoard:
    """Compile the routed netlist of a project for simulation, or return it from the cache.

    Args:
        project: folder with what ``andpop bitstream`` leaves.
        info: top.json of the network that it was made of.

    Raises:
        NotRouted: the folder is no project, or was not routed.
        NetlistError: the netlist holds a cell without a model.
        ToolMissing: no Verilator or no g++.
        BuildError: the netlist is refused.
    """
    for name, why in ((PROJECT, "a project folder"), (ROUTED, "a routed netlist")):
        if not (project / name).is_file():
            raise NotRouted(
                f"{project}: found no {name}, expected {why}; run `andpop bitstream` first"
            )
    about = json.loads((project / PROJECT).read_text(encoding="utf-8"))
    board = boards.find(about["board"])
    routed = project / ROUTED
    code = [Path(post_route.__file__), Path(lut_table.__file__), *post_route.CELLS]
    with building(content_key("post-route", TOP, routed, *code)) as (final, work):
        if work is not None:
            post_route.to_verilog(routed, work, TOP)
    program = build(
        [*post_route.CELLS, final / post_route.FILE],
        TOP,
        extra_cpp=[*HARNESS, LINE],
        opt=OPTIMISATION,
        kind="executable",
        verilator_flags=FLAGS,
    )
    arguments = (
        f"quiet={watchdog(info)}",
        f"bit={about['clock_mhz'] * 1e6 / about['baud']}",
        f"pressed={board.reset_pressed}",
    )
    return SimulatedBoard(program, final, arguments)

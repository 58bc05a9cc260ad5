# SPDX-License-Identifier: Apache-2.0
"""``andpop bitstream``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ....hw.targets.ecp5.board import names
from ... import api
from ..options import Build, Group, Json
from ..terminal import Bars, emit, say, table

GROUP = Group.HARDWARE


def command(
    folder: Build,
    board: Annotated[
        str | None,
        typer.Option(
            help=f"Board: {', '.join(names())}, or one with a Zynq; that of the build by default.",
            metavar="BOARD",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Stop before place and route, to see whether it fits.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the project; by default beside the build: BUILD-BOARD."),
    ] = None,
    clock_mhz: Annotated[
        float | None,
        typer.Option(help="Clock of the network in MHz; that of the build by default."),
    ] = None,
    seed: Annotated[int, typer.Option(min=1, help="Seed of the placement.")] = 1,
    flow: Annotated[
        str | None,
        typer.Option(
            help="Of a board with a Zynq: vivado, or openxc7, Yosys with nextpnr-xilinx.",
            metavar="FLOW",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a bitstream of a build: for a Lattice ECP5 by Yosys and nextpnr, for a Zynq by Vivado or
    openXC7.

    Written is a project folder that holds all that the bitstream is made of; where a tool is
    missing it is complete all the same. A network that does not fit or does not hold its clock is
    refused. A board with a Zynq also gets a driver for PYNQ, in `deploy` of that folder.

    Example: andpop bitstream build/steel --board ulx3s-85f
    """
    with Bars(as_json) as progress:
        result = api.bitstream(
            folder, board=board, out=out, clock_mhz=clock_mhz, check=check, seed=seed,
            flow=flow, progress=progress,
        )  # fmt: skip
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    rows: list[tuple[str, object]] = [
        (r["called"], f"{r['used']:,} of {r['have']:,}, {r['share']:.1%}")
        for r in result["resources"]
    ]
    reached = result["reached_mhz"]
    over = "" if result["link_fps"] is None else f", {result['link_fps']:,.1f} over the line"
    rows += [
        ("clock asked", f"{result['asked_mhz']:g} MHz"),
        ("clock reached", "not placed" if reached is None else f"{reached:.1f} MHz"),
        ("frames per second", f"{result['fps']:,.1f}{over}"),
        *(("written", file) for file in result["files"]),
        *(("missing", what) for what in result["missing"]),
    ]
    tools = ", ".join(f"{tool} {found}" for tool, found in result["tools"].items() if found)
    by = f", by {tools}" if tools else ""
    table(f"{result['board']} ({result['part']}){by}", ("", "value"), rows)
    say(f"Project: {result['folder']}")
    if result["program"]:
        say(f"Then: {result['program']}")

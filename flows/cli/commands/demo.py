# SPDX-License-Identifier: Apache-2.0
"""``andpop demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ....quant.names import printable
from ... import api
from ...errors import CHECK_FAILED, OK
from ..options import Group, Json
from ..results import show_backends
from ..terminal import Bars, emit, out, say

GROUP = Group.START


def command(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the build.")] = Path("demo"),
    size: Annotated[
        int, typer.Option(help="Side of the pictures in pixels.", min=32, max=4096)
    ] = 64,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Your own pictures; synthetic steel surfaces by default."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of pictures.")] = 4,
    as_json: Json = False,
) -> None:
    """Take the shipped Bi-ShuffleNet from checkpoint to RTL and compare every backend bit by bit.

    Pictures are synthetic steel surfaces, seen by a network that was trained on such. `--images`
    takes your own, seen by the network that was trained on real steel. Ends with a table and
    `report.html` in the output folder.

    Example: `andpop demo --out demo`
    """
    with Bars(as_json) as progress:
        result = api.demo(folder, size=size, images=images, count=count, progress=progress)
    emit(result, as_json, lambda r: show(r, folder))
    raise typer.Exit(CHECK_FAILED if result["values_differing"] else OK)


def show(result: dict[str, Any], folder: Path) -> None:
    """Show the comparison, what the network sees, and how fast the hardware is."""
    show_backends(result)
    for p in result["predictions"]:
        out.print(Text.assemble(f"{printable(p['picture'])}: ", (printable(p["class"]), "bold")))
    if "correct" in result:
        out.print(f"{result['correct']} of {result['n']} pictures right")
    sim = result["simulation"]
    out.print(
        f"RTL: {sim['cycles_per_frame']:,} cycles per frame, interval {sim['interval']:,}, "
        f"simulated at {sim['sim_cycles_per_second']:,.0f} cycles/s"
    )
    say(f"Report: {folder / 'report.html'}")

# SPDX-License-Identifier: Apache-2.0
"""``andpop run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ....quant import tasks
from ... import api
from ...errors import CHECK_FAILED, OK
from ..options import Build, Count, Group, Json, Masks, Trust
from ..results import show, show_divergence, show_gaps, show_notes
from ..terminal import Bars, emit, say, table

GROUP = Group.HARDWARE


def command(
    folder: Build,
    port: Annotated[
        str | None,
        typer.Option(help="Serial port of the board, e.g. /dev/ttyUSB0; without it all are named."),
    ] = None,
    simulated: Annotated[
        bool,
        typer.Option(
            "--simulated",
            help="Without a board: on a Verilator model of what its bitstream is made of.",
        ),
    ] = False,
    routed: Annotated[
        Path | None,
        typer.Option(
            help="Without a board: on a Verilator model of the routed netlist in this project, "
            "which `andpop bitstream` left, at the pins of its UART."
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="A picture or a folder of pictures; or .npy files of inputs (N, H, W, C).",
        ),
    ] = None,
    count: Count = None,
    masks: Masks = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare every result with the CPU engine, bit by bit.")
    ] = False,
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="First run the vectors that the build stores."),
    ] = False,
    baud: Annotated[
        int, typer.Option(min=1, help="Bits per second of the link, as the board was made for.")
    ] = 3_000_000,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds until an answer counts as lost; by default what the build's cycles and "
            "the baud rate say."
        ),
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Run pictures on a board at a serial port, or on one that is simulated.

    The board must hold the bitstream of this very build. What gets lost on the way is sent again.

    Example: `andpop run build/steel --port /dev/ttyUSB0 --images pictures/ --check`
    """
    with Bars(as_json) as progress:
        result = api.run(
            folder,
            images,
            port=port,
            simulated=simulated,
            routed=routed,
            count=count,
            masks_folder=masks,
            check=check,
            self_test=self_test,
            baud=baud,
            timeout=timeout,
            trust=trust,
            progress=progress,
        )
    emit(result, as_json, lambda r: _show(r, folder))
    raise typer.Exit(CHECK_FAILED if result["values_differing"] else OK)


def _show(result: dict[str, Any], folder: Path) -> None:
    if "predictions" in result:
        show(tasks.named(result["task"]).show_predictions(result["predictions"]))
    status, troubles = result["status"], result["troubles"]
    rows: list[tuple[str, object]] = [
        ("pictures", result["pictures"]),
        ("pictures per second", f"{result['pictures_per_second']:.1f}"),
        ("sent again", troubles["resent"]),
        ("the board's pictures, refused", f"{status['pictures']}, {status['refused']}"),
        ("cycles that its input waited", status["stalls"]),
        ("most bytes in its FIFOs, in and out", f"{status['peak_in']}, {status['peak_out']}"),
    ]
    table(f"{folder} on the board", ("figure", "value"), rows)
    for reason, number in troubles["refused"].items():
        say(f"refused by the board {number} times: {reason}")
    if result["self_test"] is not None:
        _show_check("self-test", "the golden model", result["self_test"])
    if result["check"] is not None:
        _show_check("check", "the CPU engine", result["check"])
        show_gaps("board", result["check"]["not_covered"])
    show_notes(result)


def _show_check(name: str, referee: str, check: dict[str, Any]) -> None:
    say(
        f"{name}: {check['values_compared']} values of {check['pictures']} pictures compared with "
        f"{referee}, {check['values_differing']} differing"
    )
    show_divergence(check)

# SPDX-License-Identifier: Apache-2.0
"""``andpop build``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ....hw import boards
from ... import api
from ...config import STEPS
from ...errors import CHECK_FAILED, UsageError
from ..options import Group, InputSize, Json
from ..results import show_fit, show_notes
from ..terminal import Bars, emit, say, table

GROUP = Group.HARDWARE


def command(
    source: Annotated[Path, typer.Argument(help="Checkpoint (.safetensors) or QONNX (.onnx).")],
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the build.", show_default=False)
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Build nothing: say of every node of a QONNX file what it becomes, or why not.",
        ),
    ] = False,
    size: InputSize = None,
    input_scale: Annotated[
        str | None,
        typer.Option(
            help="What a QONNX file's input multiplies a pixel by, 1/255 or 1, before the mean is "
            "taken away. Of a checkpoint it is known."
        ),
    ] = None,
    input_mean: Annotated[
        str | None,
        typer.Option(
            help="What is then taken away: one number, or one per channel: 0.485,0.456,0.406."
        ),
    ] = None,
    input_std: Annotated[
        str | None,
        typer.Option(
            help="What it is then divided by: one number, or one per channel: 0.229,0.224,0.225."
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Text file with the names of a QONNX file's classes, one a line, in the order of "
            "its logits; numbers by default. Of a checkpoint they are known."
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            metavar="class|numbers",
            help="What leaves a QONNX network: the class of its logits, or its numbers as "
            "integers, as of an autoencoder or a regression.",
            show_default="class",
        ),
    ] = None,
    target_cycles: Annotated[
        int | None,
        typer.Option(
            min=1, help="Most clock cycles per frame; 8 per input pixel if no target is given."
        ),
    ] = None,
    target_fps: Annotated[
        float | None, typer.Option(help="Least frames per second, at --clock-mhz.")
    ] = None,
    clock_mhz: Annotated[
        float | None, typer.Option(help="Clock of the hardware in MHz; the board's own by default.")
    ] = None,
    folding: Annotated[
        Path | None, typer.Option(help="FINN folding JSON to use in place of a target.")
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(
            help="Board the RTL is written for, and has to fit, one of "
            + ", ".join(boards.names())
            + "."
        ),
    ] = None,
    lut_share: Annotated[
        float | None, typer.Option(help="Percent of the board's LUTs to take at most; 75.")
    ] = None,
    bram_share: Annotated[
        float | None, typer.Option(help="Percent of its block RAMs to take at most; 90.")
    ] = None,
    dsp_share: Annotated[
        float | None, typer.Option(help="Percent of its DSP blocks to take at most; 90.")
    ] = None,
    fuse: Annotated[
        bool | None,
        typer.Option(
            "--fuse/--no-fuse",
            help="Whole blocks as one kernel where there is one; --no-fuse keeps every op a kernel "
            "of its own.",
            show_default="--fuse",
        ),
    ] = None,
    share: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|NAME,...",
            help="Chains of equal units to run in one engine each, by what the names of their "
            "nodes begin with, such as stage3,stage4; auto takes as many as it needs to fit the "
            "board.",
            show_default="auto",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="File build.yaml with these options; those given here win.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Last step to run, one of " + ", ".join(STEPS) + "."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compile a network: dataflow graph, folding, CPU model, RTL, FIFO depths, report.

    Steps whose inputs did not change are skipped; a failed build leaves the last good one alone.

    With --explain nothing is written; exit code 1 says that the network cannot be built.

    Example: `andpop build model.safetensors --out build/steel --target-cycles 20000`, or
    `andpop build network.onnx --explain`
    """
    options = {
        "input": size,
        "input_scale": input_scale,
        "input_mean": input_mean,
        "input_std": input_std,
        "classes": str(classes) if classes else None,
        "outputs": outputs,
        "target_cycles": target_cycles,
        "target_fps": target_fps,
        "clock_mhz": clock_mhz,
        "folding": str(folding) if folding else None,
        "fuse": fuse,
        "share": share,
        "board": board,
        "lut_share": lut_share,
        "bram_share": bram_share,
        "dsp_share": dsp_share,
        "until": until,
    }
    if explain:
        result = api.explain(source, config=config, **options)
        emit(result, as_json, _show_nodes)
        if not result["builds"]:
            raise typer.Exit(CHECK_FAILED)
        return
    if folder is None:
        raise UsageError("--out: found none, expected the folder of the build, as in --out build/x")
    with Bars(as_json) as progress:
        result = api.build(source, folder, config=config, progress=progress, **options)
    emit(result, as_json, lambda r: _show(r, folder))


def _show_nodes(result: dict[str, Any]) -> None:
    rows = []
    for row in result["nodes"]:
        said = {
            "hardware": ", ".join(row["ops"]),
            "part": f"part of {row['of']}" if row["of"] else "nothing: its result is the same",
            "refused": f"REFUSED: {row['why']}",
            "waits": f"not judged: needs {row['of']}",
        }
        rows.append((row["node"], row["op"], said[row["verdict"]]))
    table("What the nodes become", ("node", "op", "becomes"), rows)
    if result["input"]:
        say(f"Input: {result['input']}")
    refused = [row["node"] for row in result["nodes"] if row["verdict"] == "refused"]
    if result["builds"]:
        say("Builds: the dataflow graph computes what the file says, in exact arithmetic")
    else:
        say(f"Does not build: {len(refused)} of {len(rows)} nodes are refused")
    show_notes(result)


def _show(result: dict[str, Any], folder: Path) -> None:
    rows = [
        (s["step"], "unchanged" if s["skipped"] else f"{s['seconds']:.1f} s")
        for s in result["steps"]
    ]
    table(f"Build {folder}", ("step", "time"), rows)
    if result.get("slowest"):
        slowest = result["slowest"]
        say(f"Slowest node: {slowest['name']}, {slowest['cycles']:,} cycles per frame")
    if result["fit"]:
        show_fit(result["fit"])
    show_notes(result)

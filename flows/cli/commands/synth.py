# SPDX-License-Identifier: Apache-2.0
"""``andpop synth``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ....hw.synth.datapath import KERNELS as DATAPATHS
from ... import api
from ...errors import UsageError
from ..options import Group, Json
from ..terminal import Bars, emit, err, say, table

GROUP = Group.HARDWARE


def command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="BUILD", help="Folder of a build.")
    ] = None,
    node: Annotated[
        str | None, typer.Option(help="Name of the one node to synthesise; all by default.")
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            help="Datapath to synthesise instead of a build, one of "
            + ", ".join(sorted(DATAPATHS))
            + "."
        ),
    ] = None,
    width: Annotated[int, typer.Option(help="Elements per cycle of the datapath (SIMD).")] = 128,
    m: Annotated[
        int, typer.Option("--m", help="Weight levels besides 0, of the datapaths pa-*.")
    ] = 4,
    n: Annotated[
        int, typer.Option("--n", help="Input levels besides 0, of the datapaths pa-*.")
    ] = 5,
    bits: Annotated[
        int,
        typer.Option(help="Bits of a level (pa-literal, pa-coded) or of an input code (binary-*)."),
    ] = 8,
    primitives: Annotated[
        bool,
        typer.Option(
            "--primitives/--behavioural",
            help="Explicit LUT6_2 and CARRY4 cells, or the behavioural description.",
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    """Synthesise a build, or one datapath, with Yosys: LUTs, flip-flops, block RAM, DSPs.

    Each node of a build by itself, not placed, beside what its op states and the share of the
    build's board. Of a datapath: LUTs per multiply-accumulate.

    Example: andpop synth build/steel --node NAME, or andpop synth --kernel xnor-dot --width 256
    """
    if (folder is None) == (kernel is None):
        found = "neither" if folder is None else "both"
        raise UsageError(f"found {found} of BUILD and --kernel, expected one of them")
    with Bars(as_json) as progress:
        if folder is not None:
            result = api.synth(folder, node=node, primitives=primitives, progress=progress)
        else:
            result = api.synth_kernel(
                str(kernel), width, m=m, n=n, bits=bits, primitives=primitives, progress=progress
            )
    emit(result, as_json, _show_build if folder is not None else _show_datapath)


def _show_datapath(result: dict[str, Any]) -> None:
    title = f"{result['kernel']}, {result['width']} wide, by Yosys {result['yosys']}, not placed"
    rows: list[tuple[str, object]] = [
        ("LUTs per multiply-accumulate", f"{result['lut_per_mac']:.3f}"),
        ("multiply-accumulates per cycle", result["macs"]),
        ("LUTs", result["lut"]),
        ("flip-flops", result["ff"]),
        ("CARRY4", result["carry4"]),
    ]
    table(title, ("figure", "value"), rows)


def _show_build(result: dict[str, Any]) -> None:
    found = [n for n in result["nodes"] if n["not_synthesised"] is None]
    if found:
        # Needs FINN, which a build that was synthesised has had.
        from ....hw.graph.ops import facts_of

        groups: dict[str, list[dict[str, Any]]] = {}
        for n in found:
            groups.setdefault(facts_of(n["op"]).group, []).append(n)
        rows = [_resources(n["name"], [n]) for n in groups.pop("", [])]
        rows += [_resources(f"{len(nodes)} {name}", nodes) for name, nodes in groups.items()]
        share = {key: f"{value:.1%}" for key, value in result["share"].items()}
        rows.append(_resources("sum", found))
        rows.append(
            (f"of the {result['board']}", share["lut"], "", share["ff"], share["bram18"],
             share["dsp"], "")
        )  # fmt: skip
        columns = ("node", "LUT", "memory", "FF", "BRAM36", "DSP", "LUT stated")
        table(f"Yosys {result['yosys']}, each node by itself, not placed", columns, rows)
    for n in result["nodes"]:
        if n["not_synthesised"] is not None:
            say(f"not synthesised: {n['name']}: {n['not_synthesised']}", err)


def _resources(name: str, nodes: Sequence[dict[str, Any]]) -> tuple[object, ...]:
    lut, memory, ff, bram, dsp = (
        sum(n[key] for n in nodes) for key in ("lut", "lutram", "ff", "bram18", "dsp")
    )
    stated = sum(n["estimate"]["lut"] for n in nodes)
    return (name, lut, memory, ff, f"{bram / 2:g}", dsp, stated)

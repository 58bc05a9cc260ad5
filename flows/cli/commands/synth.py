# SPDX-License-Identifier: Apache-2.0
"""``andpop synth``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ....hw.synth.datapath import KERNELS as DATAPATHS
from ... import api
from ...errors import UsageError
from ..options import Group, Json
from ..terminal import Bars, emit, say, table

GROUP = Group.HARDWARE
COLUMNS = ("LUT", "memory", "FF", "BRAM18", "DSP")


def command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="BUILD", help="Folder of a build.")
    ] = None,
    node: Annotated[
        str | None, typer.Option(help="Name of the one node to synthesise; all by default.")
    ] = None,
    flat: Annotated[
        bool,
        typer.Option("--flat", help="One netlist, optimised across nodes; it has sums alone."),
    ] = False,
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
    timing: Annotated[
        bool, typer.Option("--timing", help="Estimate the clock, each node's by itself.")
    ] = False,
    route: Annotated[
        bool,
        typer.Option(
            "--route",
            help="Place and route on an ECP5, too, of each op up to 3 designs that differ, those "
            "with the lowest estimates; about half a minute each.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Synthesise a build, or one datapath, with Yosys: LUTs, flip-flops, block RAM, DSPs.

    The whole build is read, then every node is mapped by itself, not placed: beside what its op
    states, by type of op, and in percent of the build's board. Clocks on demand: estimated for the
    7 series, routed on an ECP5. Of a datapath: LUTs per multiply-accumulate.

    Example: andpop synth build/steel --node NAME, or andpop synth --kernel xnor-dot --width 256
    """
    if (folder is None) == (kernel is None):
        found = "neither" if folder is None else "both"
        raise UsageError(f"found {found} of BUILD and --kernel, expected one of them")
    with Bars(as_json) as progress:
        if folder is not None:
            result = api.synth(
                folder, node=node, flat=flat, primitives=primitives, progress=progress,
                timing="route" if route else "estimate" if timing else "none",
            )  # fmt: skip
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
    nodes = result["nodes"]
    method = "one flat netlist" if result["flat"] else "each node by itself"
    how = f"{method}, not placed, few LUTs by {result['mapper']}, inverters not counted"
    title = f"Yosys {result['yosys']}, {how}" + ("; measured/stated" if nodes else "")
    if nodes:
        # Needs FINN, which a build that was synthesised has had.
        from ....hw.kernels.ops import facts_of

        single = [n for n in nodes if not _link(facts_of, n["op"])]
        table(title, ("node", *COLUMNS), [_resources(n["name"], n) for n in single])
        title = "by type of op; measured/stated"
    rows = [_resources(f"{row['op']} ({row['count']})", row) for row in result["ops"]]
    rows.append(_resources("sum", {**result["total"], "estimate": result["estimate"]}))
    keys = ("lut", "lutram", "ff", "bram18", "dsp")
    rows.append((f"of the {result['board']}", *(f"{result['share'][key]:.1%}" for key in keys)))
    table(title, ("op", *COLUMNS), rows)
    if "timing" in result:
        _show_clocks(result["timing"])


def _show_clocks(timing: dict[str, Any]) -> None:
    """The slowest node of each op by the estimate, the slowest op first, and by what was routed."""
    from ....hw.synth.timing import short

    ops: dict[str, list[dict[str, Any]]] = {}
    for node in timing["nodes"]:
        ops.setdefault(node["op"], []).append(node)
    rows = []
    for op, nodes in ops.items():
        node = nodes[0]
        path = f"{short(node['from'])} to {short(node['to'])}, {node['levels']} levels"
        tried = [n for n in nodes if n.get("routed")]
        worst = min(tried, key=lambda n: n["routed"].get("mhz", float("inf")), default=None)
        where = ("", "")
        if worst is not None:
            routed = worst["routed"]
            clock = f"{routed['mhz']:.0f}" if "mhz" in routed else routed["reason"]
            where = (worst["name"], clock)
        rows.append((op, node["name"], f"{node['mhz']:.0f}", path, *where))
    columns = ("op", "slowest node", "MHz", "its slowest path", "slowest routed", "ECP5 MHz")
    count = len(columns) if timing["routed_method"] else 4
    table("clocks, the slowest first", columns[:count], [row[:count] for row in rows])
    say(timing["method"])
    if timing["routed_method"]:
        say(timing["routed_method"])


def _link(facts_of: Callable[[str], Any], op: str) -> bool:
    """Whether an op stands on an edge, so that its type's sum is enough."""
    try:
        facts = facts_of(op)
    except ValueError:  # an instance that is no node of the graph
        return True
    return bool(facts.is_fifo or facts.on_edge or facts.group)


def _resources(name: str, found: dict[str, Any]) -> tuple[object, ...]:
    stated = found["estimate"]

    def pair(key: str) -> str:
        return f"{found[key]:,}/{stated[key]:,}" if key in stated else f"{found[key]:,}"

    return (name, pair("lut"), found["lutram"], found["ff"], pair("bram18"), pair("dsp"))

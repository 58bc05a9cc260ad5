# SPDX-License-Identifier: Apache-2.0
"""``andpop synth``: what a build, or a single datapath, takes in cells of AMD's 7 series."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...hw import boards
from ...hw.synth import yosys
from ...hw.synth.datapath import Datapath, synthesise_datapath
from ..errors import UsageError
from ..files import open_build
from ..progress import Progress

RESOURCES = ("lut", "lutram", "ff", "carry4", "bram18", "dsp")
STATED = ("lut", "lutram", "ff", "bram18", "dsp")
"""What ops state of themselves."""
TIMING = ("none", "estimate", "route")
"""What may be asked of clocks, each with what stands before it."""


def synthesise_build(
    folder: Path, node: str | None, flat: bool, primitives: bool, timing: str,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """Synthesise a build node by node or as one netlist; see ``flows.api.synth``."""
    from ...hw.rtl.top_info import TopInfo
    from ...hw.synth.network import synthesise_flat, synthesise_network

    files = open_build(folder)
    if not files.rtl.is_dir():
        raise UsageError(f"{folder}: has no RTL; build it without --until")
    if flat and node is not None:
        raise UsageError("found both --flat and --node, expected one: one netlist has no nodes")
    if timing not in TIMING:
        raise UsageError(f"timing: found '{timing}', expected one of {', '.join(TIMING)}")
    timed = timing != "none"
    if flat and timing == "route":
        raise UsageError("found both --flat and --route, expected one: nodes are routed one by one")
    began = time.perf_counter()
    board = boards.find(TopInfo.load(files.rtl).board)
    nodes: list[dict[str, Any]] = []
    if flat:
        usage, clock = synthesise_flat(
            files.rtl, primitives=primitives, progress=progress, timing=timed
        )
        total = asdict(usage)
        clocks = {"all of it": {"op": "network", **clock}} if clock else {}
    else:
        rows = synthesise_network(
            files.rtl, node=node, primitives=primitives, progress=progress, timing=timed
        )
        nodes = [
            {"name": r.name, "op": r.op, **asdict(r.usage), "estimate": dict(r.estimate)}
            for r in rows
        ]
        total = _sums(nodes)
        clocks = {r.name: {"op": r.op, **r.timing} for r in rows if r.timing}
    capacity = {**board.capacity, "lutram": board.lutram}
    return {
        "folder": str(folder),
        "board": board.name,
        "part": board.part,
        "yosys": yosys.version(),
        "mapper": yosys.MAPPER,
        "primitives": primitives,
        "flat": flat,
        "nodes": nodes,
        "ops": _by_op(nodes),
        "total": {key: total[key] for key in RESOURCES},
        "estimate": {} if flat else _stated(nodes),
        "share": {key: total[key] / most for key, most in capacity.items()},
        **({"timing": _clocks(files.rtl, clocks, timing == "route", progress)} if timed else {}),
        "seconds": time.perf_counter() - began,
    }


def _clocks(
    rtl: Path, clocks: dict[str, dict[str, Any]], route: bool, progress: Progress
) -> dict[str, Any]:
    """Estimates of all nodes, the slowest first, and what of them was routed."""
    from ...hw.synth import timing
    from ...hw.synth.network_route import route_slowest

    nodes = [
        {"name": name, **found}
        for name, found in sorted(clocks.items(), key=lambda item: item[1]["mhz"])
    ]
    if route:
        ops: dict[str, list[str]] = {}
        for node in nodes:
            ops.setdefault(node["op"], []).append(node["name"])
        routed = route_slowest(rtl, ops, progress)
        for node in nodes:
            node["routed"] = routed.get(node["name"])
    return {
        "method": timing.METHOD,
        "routed_method": timing.ROUTED if route else None,
        "mhz": nodes[0]["mhz"] if nodes else None,
        "nodes": nodes,
    }


def _sums(nodes: list[dict[str, Any]]) -> dict[str, int]:
    return {key: sum(node[key] for node in nodes) for key in RESOURCES}


def _stated(nodes: list[dict[str, Any]]) -> dict[str, int]:
    return {key: sum(node["estimate"][key] for node in nodes) for key in STATED}


def _by_op(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sums of each type of op, the most LUTs first."""
    types = dict.fromkeys(node["op"] for node in nodes)
    groups = {op: [node for node in nodes if node["op"] == op] for op in types}
    rows = [
        {"op": op, "count": len(group), **_sums(group), "estimate": _stated(group)}
        for op, group in groups.items()
    ]
    return sorted(rows, key=lambda row: -row["lut"])


def synthesise_kernel(datapath: Datapath, progress: Progress) -> dict[str, Any]:
    """Synthesise a single datapath; see ``flows.api.synth_kernel``."""
    progress("synthesis", 0, 1)
    began = time.perf_counter()
    found = synthesise_datapath(datapath)
    progress("synthesis", 1, 1)
    lut = found.luts + found.lutram
    return {
        **asdict(datapath),
        "part": boards.DEFAULT_BOARD.part,
        "yosys": yosys.version(),
        "macs": datapath.macs,
        "lut": lut,
        "lut_per_mac": lut / datapath.macs,
        "ff": found.ffs,
        "carry4": found.carry4,
        "cells": dict(found.cells),
        "seconds": time.perf_counter() - began,
    }

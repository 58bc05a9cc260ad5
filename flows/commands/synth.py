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


def synthesise_build(
    folder: Path, node: str | None, primitives: bool, progress: Progress
) -> dict[str, Any]:
    """Synthesise every node of a build out of context; see ``flows.api.synth``."""
    from ...hw.rtl.top_info import TopInfo
    from ...hw.synth.network import synthesise_network

    files = open_build(folder)
    if not files.rtl.is_dir():
        raise UsageError(f"{folder}: has no RTL; build it without --until")
    began = time.perf_counter()
    rows = synthesise_network(files.rtl, node=node, primitives=primitives, progress=progress)
    done = [row for row in rows if row.usage is not None]
    board = boards.find(TopInfo.load(files.rtl).board)
    total = {key: sum(getattr(row.usage, key) for row in done) for key in RESOURCES}
    return {
        "folder": str(folder),
        "board": board.name,
        "part": board.part,
        "yosys": yosys.version(),
        "primitives": primitives,
        "nodes": [
            {
                "name": row.name,
                "op": row.op,
                **(asdict(row.usage) if row.usage else dict.fromkeys(RESOURCES)),
                "estimate": dict(row.estimate),
                "not_synthesised": row.reason or None,
            }
            for row in rows
        ],
        "total": total,
        "estimate": {key: sum(r.estimate[key] for r in done) for key in ("lut", "bram18", "dsp")},
        "share": {key: total[key] / capacity for key, capacity in board.capacity.items()},
        "not_synthesised": [row.name for row in rows if row.usage is None],
        "seconds": time.perf_counter() - began,
    }


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

# SPDX-License-Identifier: Apache-2.0
"""Writes the measured table of docs/03_reference/synthesis.md: LUTs per multiply-accumulate.

Run as ``python -m andpop.hw.synth.table FILE`` (``make synth-table``): replaces what stands between
the two markers of the file.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ...quant.files import rewrite
from ..kernels.datapaths import all_datapaths
from . import yosys
from .datapath import Datapath, synthesise_datapath

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"
LEVELS = ((4, 5), (8, 7))
"""M and N of the datapaths that have levels."""


def datapaths() -> list[tuple[str, Datapath]]:
    """What each row of the table is called, and its datapath."""
    rows = []
    for kind in all_datapaths().values():
        for line in kind.rows:
            for m, n in LEVELS if kind.has_levels else LEVELS[:1]:
                label = f"{line.label}, M={m} N={n}" if kind.has_levels else line.label
                rows += [
                    (label, Datapath(kind.name, width, False, m, n, line.bits))
                    for width in line.widths
                ]
    return rows


def table() -> str:
    """Synthesise every datapath with both bodies and return the table as Markdown."""
    lines = [
        f"Yosys {yosys.version()}, not placed:",
        "",
        "| datapath | width | LUT/MAC, RTL | LUT/MAC, cells | FF/MAC, RTL | FF/MAC, cells |",
        "|---|---|---|---|---|---|",
    ]
    for name, behavioural in datapaths():
        bodies = (behavioural, replace(behavioural, primitives=True))
        found = [synthesise_datapath(body) for body in bodies]
        figures = [f"{(f.luts + f.lutram) / behavioural.macs:.2f}" for f in found]
        figures += [f"{f.ffs / behavioural.macs:.2f}" for f in found]
        lines.append(f"| {name} | {behavioural.width} | {' | '.join(figures)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]), table(), BEGIN, END)

# SPDX-License-Identifier: Apache-2.0
"""Writes the measured table of docs/03_reference/synthesis.md: LUTs per multiply-accumulate.

Run as ``python -m andpop.hw.synth.table FILE`` (``make synth-table``): replaces what stands between
the two markers of the file.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from . import yosys
from .datapath import Datapath, synthesise_datapath

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"
LEVELS = ((4, 5), (8, 7))
LINES = (
    ("XNOR dot product", "xnor-dot", 8, (64, 128, 256)),
    ("AND dot product", "and-dot", 8, (64, 128, 256)),
    ("XNOR processing element", "xnor-pe", 8, (64, 128, 256)),
    *(
        (f"binary x {k}-bit, {way}", f"binary-{way}", k, (64, 256))
        for way in ("serial", "addsub")
        for k in (2, 4, 8)
    ),
    ("PA literal, 8-bit levels", "pa-literal", 8, (64, 256)),
    ("PA coded, 8-bit levels", "pa-coded", 8, (64, 256)),
    ("PA coded, 4-bit levels", "pa-coded", 4, (64, 256)),
    ("PA planes", "pa-planes", 8, (64, 256)),
)
"""Name in the table, datapath, bits of a level, widths."""


def datapaths() -> list[tuple[str, Datapath]]:
    """What each row of the table is called, and its datapath."""
    rows = []
    for name, kernel, bits, widths in LINES:
        for m, n in LEVELS if kernel.startswith("pa-") else LEVELS[:1]:
            label = f"{name}, M={m} N={n}" if kernel.startswith("pa-") else name
            rows += [(label, Datapath(kernel, width, False, m, n, bits)) for width in widths]
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


def rewrite(file: Path) -> None:
    """Put a fresh table between the markers of ``file``.

    Raises:
        ValueError: the file lacks a marker.
    """
    text = file.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{file}: found no lines '{BEGIN}' and '{END}', expected one of each")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]))

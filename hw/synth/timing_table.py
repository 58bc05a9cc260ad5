# SPDX-License-Identifier: Apache-2.0
"""Writes the measured tables of docs/03_reference/timing.md: the clock of every smoke case.

Run as ``python -m andpop.hw.synth.timing_table FILE`` (``make timing``): replaces what stands
between the two markers of the file, and the slowest path in the README of every kernel. What was
measured before is kept in the cache.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from ...quant.files import rewrite
from ..kernels.base import HW
from . import ecp5, nextpnr, yosys
from .cases import smoke_cases
from .table import BEGIN, END
from .timing import CaseTiming, short, time_case

JOBS = 2
"""Cases at a time."""
GOAL = 150.0
"""MHz that every case should hold."""
README_LINES = re.compile(
    r"^- \*\*Slowest path\*\* of the smoke cases: .*?timing\.md\)\.$", re.M | re.S
)
"""What a README says of its kernel's clocks."""
BINS = (0.75, 0.85, 0.95, 1.05, 1.15, 1.25)
"""Borders of the distribution of estimated over routed clock."""


def measure(jobs: int = JOBS) -> list[CaseTiming]:
    """Every smoke case of every kernel, in the order of the list of kernels."""
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(lambda found: time_case(*found), smoke_cases()))


def tables(found: Sequence[CaseTiming]) -> str:
    """Clocks, what limits them, and how far estimates are from routed clocks, as Markdown."""
    lines = [
        f"Yosys {yosys.version()}, nextpnr {nextpnr.version()}, one seed, for {ecp5.MHZ:g} MHz:",
        "",
        "| kernel | case | 7 series -1, MHz | ECP5 -6, MHz | slowest path, 7 series | on ECP5 |",
        "|---|---|---|---|---|---|",
    ]
    for row in found:
        cells = [
            row.kernel, f"`{row.case}`", _mhz(row.estimate.mhz), _mhz(row.routed.mhz),
            _path(row.estimate.ends), _path(row.routed.ends),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    slow = [row for row in found if row.estimate.mhz < GOAL]
    slow_routed = [row for row in found if row.routed.mhz < GOAL]
    lines += [
        "",
        f"Below {GOAL:g} MHz: {len(slow)} of {len(found)} cases by the estimate, "
        f"{len(slow_routed)} routed.",
        "",
        *_spread(found),
    ]
    return "\n".join(lines)


def slowest(found: Sequence[CaseTiming]) -> str:
    """The slowest of a kernel's cases, estimated and routed, as its README says it."""
    estimated = min(found, key=lambda row: row.estimate.mhz)
    routed = min(found, key=lambda row: row.routed.mhz)
    return (
        f"- **Slowest path** of the smoke cases: {estimated.estimate.mhz:.0f} MHz by the 7-series "
        f"-1 estimate, {_path(estimated.estimate.ends)}\n  (`{estimated.case}`).\n"
        f"  Routed on an ECP5 -6: {routed.routed.mhz:.0f} MHz, {_path(routed.routed.ends)}\n"
        f"  (`{routed.case}`). See [clocks](../../../docs/03_reference/timing.md)."
    )


def rewrite_readmes(found: Sequence[CaseTiming]) -> None:
    """Put the slowest path of every kernel into its README, at the end where it has none."""
    for kernel in dict.fromkeys(row.kernel for row in found):
        readme = HW / "kernels" / kernel / "README.md"
        text = readme.read_text(encoding="utf-8")
        lines = slowest([row for row in found if row.kernel == kernel])
        there = README_LINES.search(text)
        if there is None:
            text = f"{text}\n{lines}\n"
        else:
            text = text[: there.start()] + lines + text[there.end() :]
        readme.write_text(text, encoding="utf-8")


def _mhz(clock: float) -> str:
    return f"**{clock:.0f}**" if clock < GOAL else f"{clock:.0f}"


def _path(ends: tuple[str, str]) -> str:
    return " to ".join(f"`{short(name)}`" for name in ends)


def _spread(found: Sequence[CaseTiming]) -> list[str]:
    """How often the estimate with ECP5's delays is how far from the routed clock."""
    ratios = sorted(row.ratio for row in found)
    edges = [0.0, *BINS, float("inf")]
    lines = [
        f"Estimated over routed clock on the ECP5, {len(ratios)} cases: median "
        f"{median(ratios):.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}.",
        "",
        "| estimated / routed | cases |",
        "|---|---|",
    ]
    for low, high in zip(edges, edges[1:], strict=False):
        count = sum(low <= ratio < high for ratio in ratios)
        if low == 0.0:
            name = f"below {high:g}"
        elif high == float("inf"):
            name = f"{low:g} and more"
        else:
            name = f"{low:g} to {high:g}"
        lines.append(f"| {name} | {count} |")
    return lines


if __name__ == "__main__":
    measured = measure()
    rewrite(Path(sys.argv[1]), tables(measured), BEGIN, END)
    rewrite_readmes(measured)

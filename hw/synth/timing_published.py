# SPDX-License-Identifier: Apache-2.0
"""Writes the second table of docs/03_reference/timing.md: the clocks of whole builds, op by op.

Run as ``python -m andpop.hw.synth.timing_published FILE TITLE=BUILD ...`` (``make timing-published
BUILDS="TITLE=BUILD ..."``): replaces what stands between its two markers of the file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...quant.files import rewrite
from . import ecp5, nextpnr, yosys
from .network import Progress, synthesise_network
from .network_route import MOST, route_slowest
from .timing import short

BEGIN = "<!-- published: begin -->"
END = "<!-- published: end -->"
GOAL = 150.0
"""MHz that every node should hold."""
Clock = Mapping[str, Any]


@dataclass(frozen=True)
class OpClocks:
    """The clocks of all nodes of one op of a build."""

    op: str
    nodes: int
    estimate: Clock
    """The slowest node's, see ``timing.as_dict``."""
    routed: Clock
    """The slowest of those that were routed, see ``ecp5.as_dict``, or the reason why none was."""

    @property
    def mhz(self) -> tuple[float, float | None]:
        """Estimated and routed."""
        return self.estimate["mhz"], self.routed.get("mhz")


def clocks_by_op(rtl: Path, progress: Progress) -> list[OpClocks]:
    """Estimate all nodes of an emitted folder, route the slowest of each op.

    Returns:
        The ops, that with the lowest estimate first.

    Raises:
        EmitError, SynthesisError, ToolMissing: see ``synthesise_network`` and ``route_slowest``.
    """
    rows = synthesise_network(rtl, node=None, primitives=True, progress=progress, timing=True)
    timed = sorted((r.timing["mhz"], r.name, r.op, r.timing) for r in rows if r.timing)
    ops: dict[str, list[str]] = {}
    slowest: dict[str, Clock] = {}
    for _, name, op, clock in timed:
        ops.setdefault(op, []).append(name)
        slowest.setdefault(op, clock)
    routed = route_slowest(rtl, ops, progress)
    found = []
    for op, names in ops.items():
        results = [routed[name] for name in names if name in routed]
        worst = min(results, key=lambda result: result.get("mhz", float("inf")))
        found.append(OpClocks(op, len(names), slowest[op], worst))
    return found


def table(builds: Mapping[str, Sequence[OpClocks]]) -> str:
    """The clocks of builds by title, as Markdown."""
    lines = [
        f"Yosys {yosys.version()}, nextpnr {nextpnr.version()}, one seed, for {ecp5.MHZ:g} MHz; "
        f"of each op up to {MOST} designs with the lowest estimates are routed:"
    ]
    for title, rows in builds.items():
        lines += [
            "",
            f"**{title}**",
            "",
            "| op | nodes | 7 series -1, MHz | ECP5 -6, MHz | slowest path, 7 series | on ECP5 |",
            "|---|---|---|---|---|---|",
        ]
        for row in rows:
            clock = row.routed.get("mhz")
            on_ecp5 = "-" if clock is None else _mhz(clock)
            where = row.routed["reason"] if clock is None else _path(row.routed)
            cells = [row.op, str(row.nodes), _mhz(row.estimate["mhz"]), on_ecp5]
            lines.append(f"| {' | '.join([*cells, _path(row.estimate), where])} |")
        lines += ["", _summary(rows)]
    return "\n".join(lines)


def _summary(rows: Sequence[OpClocks]) -> str:
    """How many ops miss the goal, and the clock that all nodes hold."""
    estimates, routed = zip(*(row.mhz for row in rows), strict=True)
    known = [clock for clock in routed if clock is not None]
    return (
        f"Below {GOAL:g} MHz: {sum(c < GOAL for c in estimates)} of {len(rows)} ops by the "
        f"estimate, {sum(c < GOAL for c in known)} of {len(known)} routed; the slowest holds "
        f"{min(estimates):.0f} MHz by the estimate"
        + (f", {min(known):.0f} routed." if known else ".")
    )


def _mhz(clock: float) -> str:
    return f"**{clock:.0f}**" if clock < GOAL else f"{clock:.0f}"


def _path(clock: Clock) -> str:
    return " to ".join(f"`{short(clock[end])}`" for end in ("from", "to"))


def _say(stage: str, done: int, total: int) -> None:
    print(f"{stage} {done}/{total}", file=sys.stderr)


def main(file: Path, arguments: Sequence[str]) -> None:
    """Measure builds, each ``TITLE=BUILD`` or the folder alone, and rewrite the table."""
    found = {}
    for argument in arguments:
        title, _, folder = argument.rpartition("=")
        found[title or Path(folder).name] = clocks_by_op(Path(folder) / "rtl", _say)
    rewrite(file, table(found), BEGIN, END)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

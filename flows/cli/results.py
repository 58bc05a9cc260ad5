# SPDX-License-Identifier: Apache-2.0
"""Parts of results that several commands show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...quant.tasks.task import Shown
from ..compare import gap_lines
from .terminal import err, out, say, table


def show_backends(result: dict[str, Any]) -> None:
    """Show what every backend delivered and how much of it differs."""
    rows = [
        (
            b["backend"],
            b["pictures"],
            f"{b['layers']} of {b['layers_total']}",
            b["values_compared"],
            b["values_differing"],
            f"{b['seconds']:.2f} s",
        )
        for b in result["backends"]
    ]
    columns = ("backend", "pictures", "layers", "values compared", "differing", "time")
    table("Every backend against the golden model", columns, rows)
    for b in result["backends"]:
        show_gaps(b["backend"], b["not_covered"])
    show_divergence(result)
    show_notes(result)


BAR = 20
"""Characters of a full bar."""


def show_fit(fit: dict[str, Any]) -> None:
    """Show what a build takes of its board, by resource."""
    rows = []
    for r in fit["resources"]:
        share = r["used"] / max(1, r["have"])
        filled = min(BAR, round(BAR * share))
        bar = "#" * filled + "." * (BAR - filled)
        rows.append((r["called"], r["used"], r["have"], f"{share:.0%}", r["allowed"], bar))
    columns = ("resource", "estimate", "board has", "share", "allowed", "")
    table(f"Of the {fit['board']}", columns, rows)
    if fit["fits"]:
        say(f"Fits the {fit['board']}, not placed")


def show_gaps(backend: str, gaps: list[dict[str, Any]]) -> None:
    """Say which layers were not compared and why, one line per reason."""
    for reason, text in gap_lines(gaps):
        say(f"{backend}: not compared: {text}; {reason}")


def show_notes(result: dict[str, Any]) -> None:
    """Say what was done to the input, on standard error."""
    for note in result["notes"]:
        say(f"note: {note}", err)


def show_divergence(result: dict[str, Any]) -> None:
    """Say where the first difference is, if there is one."""
    first = result["first_divergence"]
    if first is None:
        return
    err.print("First divergence", style="bold red")
    for key, value in first.items():
        say(f"  {key}: {value}", err)


def show(parts: Sequence[Shown]) -> None:
    """Show what a task has to show: lines as they are, and tables."""
    for part in parts:
        if isinstance(part, str):
            out.print(part, soft_wrap=True)
        else:
            table(part.title, part.columns, part.rows)

# SPDX-License-Identifier: Apache-2.0
"""Writes the page of all options: ``python -m andpop.flows.cli.reference FILE``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from ...models import registry
from ...quant.checkpoint import replace_file
from . import app

HEAD = """\
# Options

Written from the program by `python -m andpop.flows.cli.reference FILE`. Exit codes, limits and keys
of `--json`: [command line](command_line.md). Of `--a / --no-a` the second turns the first off.
"""

Shown = list[Any]
"""Arguments and options of a command, as Typer made them."""


def reference() -> str:
    """Return the page: every command, its options, and under it the switches of each network."""
    program: Any = typer.main.get_command(app)
    context = program.make_context("andpop", [], resilient_parsing=True)
    parts = [HEAD]
    for name, command in program.commands.items():
        parts.append(f"\n## andpop {name}\n\n{command.help}\n\n")
        parts.extend(_table(command.params, context))
        if hasattr(command, "of_network"):
            parts.extend(_networks(name, command, context))
    return "".join(parts)


def _networks(name: str, command: Any, context: Any) -> Iterator[str]:
    """Yield what all networks share, then the switches of every network, equal ones together."""
    own = {p.name for p in command.params}
    shared = [p for p in command.of_network(None, ()).params if p.name not in own]
    if shared:
        yield "\nOf every network, with defaults of its own:\n\n"
        yield from _table(shared, context)
    alike: dict[str, list[str]] = {}
    for network in registry.names():
        params = [p for p in command.of_network(network, ()).params if p.name not in own]
        text = "".join(_switches(params, {p.name for p in shared}, context))
        alike.setdefault(text, []).append(network)
    for text, networks in alike.items():
        yield f"\n### andpop {name} {', '.join(networks)}\n{text}"


def _switches(params: Shown, shared: set[str], context: Any) -> Iterator[str]:
    """Yield defaults of the shared options in a sentence, and a table for each heading."""
    defaults = [f"`{p.opts[0]} {p.default}`" for p in params if p.name in shared and p.default]
    if defaults:
        yield f"\nDefaults: {', '.join(defaults)}.\n"
    panels: dict[str, Shown] = {}
    for p in params:
        if p.name not in shared:
            panels.setdefault(p.rich_help_panel, []).append(p)
    for n, (panel, group) in enumerate(panels.items()):
        yield f"\n{panel}:\n\n" if n else "\n"
        yield from _table(group, context)


def _table(params: Iterable[Any], context: Any) -> Iterator[str]:
    """Yield a table of what each argument or option is, and its default."""
    yield "| option | what it is |\n|---|---|\n"
    for param in params:
        record = param.get_help_record(context)
        if record is not None:  # what is hidden has none
            option, text = (cell.replace("|", " or ") for cell in record)
            yield f"| `{option}` | {text.replace('  [', ' [')} |\n"


if __name__ == "__main__":
    replace_file(Path(sys.argv[1]), reference().encode())

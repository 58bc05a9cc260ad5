# SPDX-License-Identifier: Apache-2.0
"""What the program prints: lines, tables, bars on standard error, one JSON object for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ...quant.names import printable

# Names come from outside: [bold] or :smile: in them is text and nothing else.
out = Console(markup=False, emoji=False, highlight=False)
err = Console(markup=False, emoji=False, highlight=False, stderr=True)


LINE_SECONDS = 30.0
"""How often a file or a pipe is told how far a command is; a terminal has bars that move."""


class Bars:
    """Progress bars on standard error; silent when the output is for machines.

    A stage is "name" or "name: detail": every name has one bar, whose text follows the detail. What
    is no terminal gets a line now and then, and the bars at the end.
    """

    def __init__(self, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
            disable=quiet,
        )
        self._tasks: dict[str, Any] = {}
        self._quiet = quiet
        self._said = time.monotonic()

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self._update

    def __exit__(self, *_: object) -> None:
        # Stopping bars that never began would print an empty line.
        if self._tasks and not self._quiet:
            self._progress.stop()

    def _update(self, stage: str, done: int, total: int) -> None:
        if not self._tasks and not self._quiet:
            self._progress.start()
        stage = printable(stage)
        name = stage.partition(":")[0]
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[name], description=stage, completed=done, total=total)
        now = time.monotonic()
        if not self._quiet and not err.is_terminal and now - self._said >= LINE_SECONDS:
            self._said = now
            say(f"{stage} {done}/{total}", err)


def emit(result: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """Print a result as JSON, or as ``show`` does."""
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        show(result)


def say(text: str, console: Console = out) -> None:
    """Print one line, never wrapped."""
    console.print(printable(text), soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; a column whose first value is a figure is aligned to the right."""
    grid = Table(title=printable(title), title_justify="left")
    for i, column in enumerate(columns):
        figures = bool(rows) and str(rows[0][i])[:1].isdigit()
        grid.add_column(printable(column), justify="right" if figures else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(f"{v:,}" if isinstance(v, int | float) else printable(v) for v in row))
    out.print(grid)

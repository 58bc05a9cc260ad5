# SPDX-License-Identifier: Apache-2.0
"""Project folders of boards: written anew only where something changed; what their tables say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..hw.boards import Board
from ..hw.rtl.top_info import TopInfo
from ..hw.targets import PROJECT
from .errors import UsageError
from .files import BuildFiles
from .folder import beside

T = TypeVar("T")


def refreshed(place: Path, write: Callable[[Path], T]) -> T:
    """Let ``write`` fill an empty folder; it becomes ``place`` unless that holds the same already,
    with what tools have left there since.

    Raises:
        UsageError: ``place`` holds something else than a project.
    """
    empty = place.is_dir() and not any(place.iterdir())
    if place.exists() and not (place / PROJECT).is_file() and not empty:
        raise UsageError(f"{place}: exists and is no project of andpop; choose another --out")
    staging, old = beside(place, "partial"), beside(place, "old")
    for left in (staging, old):
        shutil.rmtree(left, ignore_errors=True)
    staging.mkdir()
    try:
        made = write(staging)
        if not _same(staging, place):
            if place.exists():
                place.rename(old)
            staging.rename(place)
        return made
    finally:
        for left in (staging, old):
            shutil.rmtree(left, ignore_errors=True)


def _same(new: Path, old: Path) -> bool:
    """Whether all that was written now lies in an older project already, and no other source."""
    names = {p.relative_to(new) for p in new.rglob("*") if p.is_file()}
    sources = {p.relative_to(old) for p in (old / "rtl").rglob("*") if p.is_file()}
    return sources <= names and all(
        (old / name).is_file() and (old / name).read_bytes() == (new / name).read_bytes()
        for name in names
    )


def interval(files: BuildFiles, info: TopInfo) -> int:
    """Cycles from one picture to the next: measured where FIFOs were sized, else as stated."""
    if files.sizing.is_file():
        return int(json.loads(files.sizing.read_text(encoding="utf-8"))["interval"])
    return info.slowest.cycles


def resource_row(resource: str, called: str, used: int, board: Board) -> dict[str, Any]:
    """One resource of a board and what a design takes of it."""
    have = board.capacity[resource]
    return {
        "resource": resource, "called": called, "used": used, "have": have,
        "share": used / max(1, have),
    }  # fmt: skip

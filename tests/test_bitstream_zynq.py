# SPDX-License-Identifier: Apache-2.0
"""`andpop bitstream` for boards with a Zynq: the project, what the board gets, Vivado or none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import onnx
import pytest
from andpop.flows import api
from andpop.flows.errors import BAD_INPUT, CHECK_FAILED, MISSING_TOOL, OK
from andpop.hw import boards
from program import Run
from two_heads import two_heads

BOARD = "pynq-z2"

VIVADO = """#!/bin/sh
test -f vivado.tcl || exit 1
{body}
"""
MAKES = "echo bits > deploy/andpop.bit; echo hwh > deploy/andpop.hwh; echo run >> count"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build of a small network with two heads for the board."""
    folder = tmp_path_factory.mktemp("zynq")
    onnx.save(two_heads(side=10), folder / "net.onnx")
    api.build(folder / "net.onnx", folder / "build", target_cycles=1000, board=BOARD)
    return folder / "build"


def vivado(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put a program of that name on PATH."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "vivado"
    program.write_text(VIVADO.format(body=body))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


def test_without_vivado_the_project_is_whole(built: Path, run: Run, tmp_path: Path) -> None:
    place = tmp_path / "project"
    code, _, err = run("bitstream", built, "--out", place)
    assert code == MISSING_TOOL
    assert f"vivado: not found on PATH; the project in {place} is complete: run `vivado " in err
    names = {p.relative_to(place).as_posix() for p in place.rglob("*")}
    wanted = {"vivado.tcl", "andpop.xdc", "README.md", "deploy/settings.json", "deploy/README.md"}
    assert wanted <= names and any(n.startswith("deploy/andpop_board/") for n in names)
    assert not list(tmp_path.glob(".*"))


def test_a_check_says_what_it_takes(built: Path, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("bitstream", built, "--check", "--json", "--out", tmp_path / "p")
    found = json.loads(out)
    assert code == OK and not found["placed"] and len(found["missing"]) == 2
    rows = {r["resource"]: r for r in found["resources"]}
    assert rows["lut"]["have"] == boards.find(BOARD).lut and 0 < rows["lut"]["share"] < 0.5
    assert found["fps"] == pytest.approx(100e6 / found["cycles_per_frame"])
    code, out, _ = run("bitstream", built, "--check", "--out", tmp_path / "p")
    assert code == OK and "stated" in out and "Vivado makes it" in out


def test_vivado_runs_once(
    built: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vivado(tmp_path, monkeypatch, MAKES)
    place = tmp_path / "project"
    for steps in (1, 0):
        code, out, _ = run("bitstream", built, "--out", place, "--json")
        found = json.loads(out)
        assert code == OK and found["placed"] and not found["missing"]
        assert len(found["steps"]) == steps
        assert (place / "count").read_text() == "run\n"
        assert (place / "deploy/andpop.bit").read_text() == "bits\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo 'ERROR: [Place 30-640] too many'; exit 1", "ERROR: [Place 30-640] too many"),
        ("exit 0", "it ended with 0 and left no bit file"),
    ],
)
def test_a_failure_of_vivado_is_told(
    body: str, said: str, built: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vivado(tmp_path, monkeypatch, body)
    code, _, err = run("bitstream", built, "--out", tmp_path / "project")
    assert code == CHECK_FAILED and f"vivado failed: {said}" in err
    assert (tmp_path / "project/vivado.log").is_file()


def test_what_cannot_be_is_refused(
    built: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "project"
    code, _, err = run("bitstream", built, "--board", "kv260", "--out", place)
    assert code == CHECK_FAILED and "found RTL for pynq-z2 (xc7), expected xcup" in err
    code, _, err = run("bitstream", built, "--clock-mhz", "50", "--out", place)
    assert code == BAD_INPUT and "its clock is that of the build" in err
    small = boards.find(BOARD).model_copy(update={"lut": 100})
    monkeypatch.setattr(boards, "find", lambda name: small)
    code, _, err = run("bitstream", built, "--out", place)
    assert code == CHECK_FAILED and "LUTs, stated, it has 100 (" in err and "most of them:" in err
    assert not place.exists()

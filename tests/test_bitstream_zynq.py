# SPDX-License-Identifier: Apache-2.0
"""`andpop bitstream` for boards with a Zynq: the project, what the board gets, Vivado or none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
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


TOOL = """#!/bin/sh
printf '%s' "$(basename "$0")" >> "$CALLS"
for word in "$@"; do printf ' %s' "$word" >> "$CALLS"; done
echo >> "$CALLS"
{body}
"""
PLACES = {
    "nextpnr-xilinx": "test -s out/andpop_zynq.json && test -s andpop.xdc || exit 1\n"
    "echo \"Max frequency for clock 'clk': 123.45 MHz (PASS at 100.00 MHz)\" > out/nextpnr.log\n"
    "echo fasm > out/andpop_zynq.fasm",
    "fasm2frames": "echo frames",
    "xc7frames2bit": "echo bits > out/andpop.bit",
}


def openxc7(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **bodies: str
) -> tuple[Path, dict[str, Path]]:
    """Put openXC7's tools on PATH; returns the file that their calls go to, and its databases."""
    (tmp_path / "tools").mkdir()
    for name, body in {**PLACES, **bodies}.items():
        program = tmp_path / "tools" / name
        program.write_text(TOOL.format(body=body))
        program.chmod(0o755)
    databases = {name: tmp_path / name.lower() for name in ("CHIPDB", "PRJXRAY_DB_DIR")}
    for name, folder in databases.items():
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "calls", databases


@pytest.mark.sim
def test_without_nextpnr_the_netlist_is_there(
    built: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "project"
    code, _, err = run("bitstream", built, "--flow", "openxc7", "--out", place)
    assert code == MISSING_TOOL
    assert f"nextpnr-xilinx: not found on PATH; the project in {place} is complete: run " in err
    assert f"sh {place}/openxc7/make.sh`" in err
    assert (place / "openxc7/out/andpop_zynq.json").is_file()
    openxc7(tmp_path, monkeypatch)
    monkeypatch.delenv("CHIPDB")
    code, _, err = run("bitstream", built, "--flow", "openxc7", "--out", place)
    assert code == MISSING_TOOL and "found CHIPDB='', expected a folder of openXC7" in err


@pytest.mark.sim
def test_openxc7_is_called_once_in_its_order(
    built: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, databases = openxc7(tmp_path, monkeypatch)
    place = tmp_path / "project"
    for steps in (2, 1):
        arguments = ("--flow", "openxc7", "--seed", "3", "--out", place, "--json")
        code, out, _ = run("bitstream", built, *arguments)
        found = json.loads(out)
        assert code == OK and found["placed"] and not found["missing"]
        assert found["reached_mhz"] == 123.45 and len(found["steps"]) == steps
        assert (place / "openxc7/andpop.bit").read_text() == "bits\n"
    rows = {r["resource"]: r for r in found["resources"]}
    assert rows["lut"]["used"] > 1000 and rows["ff"]["used"] > 1000
    part, out_files = "xc7z020clg400-1", "out/andpop_zynq"
    family = databases["PRJXRAY_DB_DIR"] / "zynq7"
    assert calls.read_text().splitlines() == [
        f"nextpnr-xilinx --chipdb {databases['CHIPDB']}/xc7z020clg400.bin --xdc andpop.xdc "
        f"--json {out_files}.json --freq 100 --seed 3 --fasm {out_files}.fasm "
        "--log out/nextpnr.log",
        f"fasm2frames --part {part} --db-root {family} {out_files}.fasm",
        f"xc7frames2bit --part_file {family}/{part}/part.yaml --part_name {part} "
        f"--frm_file {out_files}.frames --output_file out/andpop.bit",
    ]


@pytest.mark.sim
def test_a_failure_of_openxc7_is_told(
    built: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openxc7(tmp_path, monkeypatch, **{"nextpnr-xilinx": "echo 'ERROR: no room'; exit 1"})
    place = tmp_path / "project"
    code, _, err = run("bitstream", built, "--flow", "openxc7", "--out", place)
    assert code == CHECK_FAILED and "openXC7 failed: ERROR: no room; see" in err
    assert not (place / "openxc7/andpop.bit").exists()


@pytest.mark.sim
def test_openxc7_ends_with_a_program_that_is_terminated(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    openxc7(tmp_path, monkeypatch, **{"nextpnr-xilinx": f"sleep 600 > {pipe}"})
    arguments = ["bitstream", str(built), "--flow", "openxc7", "--out", str(tmp_path / "p")]
    with subprocess.Popen(
        [sys.executable, "-m", "andpop.flows.cli", *arguments], stderr=subprocess.PIPE
    ) as program:
        with pipe.open("rb") as end:
            program.send_signal(signal.SIGTERM)
            assert end.read() == b"", "read ends where nobody is left that could write"
        assert program.wait(60) == 128 + signal.SIGTERM
    assert not (tmp_path / "p/openxc7/andpop.bit").exists()


def test_a_flow_that_cannot_be_is_refused(
    built: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "project"
    code, _, err = run("bitstream", built, "--flow", "ise", "--out", place)
    assert code == BAD_INPUT and "--flow: found ise, expected one of vivado, openxc7" in err
    arguments = ("--board", "ulx3s-85f", "--flow", "openxc7", "--out", place)
    code, _, err = run("bitstream", built, *arguments)
    assert code == BAD_INPUT and "expected none for ulx3s-85f, an ECP5" in err
    other = boards.find("kv260").model_copy(update={"lut": 10**6})
    monkeypatch.setattr(boards, "find", lambda name: other)
    code, _, err = run("bitstream", built, "--flow", "openxc7", "--out", place)
    assert code == CHECK_FAILED and "found kv260 (xcup), expected a Zynq-7000" in err
    assert not place.exists()

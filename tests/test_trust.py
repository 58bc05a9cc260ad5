# SPDX-License-Identifier: Apache-2.0
"""RTL of a build folder that differs from its build.json is compiled on request alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from andpop.flows import api, cli
from andpop.flows.backends.rtl import Rtl
from andpop.flows.build import Context, Step, run_build
from andpop.flows.config import BuildConfig
from andpop.flows.errors import BAD_INPUT, UsageError
from andpop.flows.files import BuildFiles
from andpop.flows.trust import blames_damage, check, findings
from PIL import Image

Change = Callable[[Path], object]


def write(context: Context) -> None:
    """Files of a build as the real steps name them."""
    (context.folder / "dataflow.onnx").write_text("graph")
    (context.folder / "model.andpop").write_text("packed")
    (context.folder / "fifo.json").write_text("{}")
    (context.folder / "report.html").write_text("<p>")
    (context.folder / "rtl" / "lib").mkdir(parents=True)
    (context.folder / "rtl" / "andpop_top.sv").write_text("module andpop_top;")
    (context.folder / "rtl" / "lib" / "weights.mem").write_text("0f")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "net.safetensors"
    source.write_text("net")
    outputs = ("dataflow.onnx", "model.andpop", "fifo.json", "report.html", "rtl")
    step = Step("emit", write, (), outputs)
    run_build([step], source, tmp_path / "build", BuildConfig(), lambda *_: None)
    return tmp_path / "build"


def recorded(change: Callable[[dict[str, str]], object]) -> Change:
    """A change of what build.json records of its step."""

    def edit(folder: Path) -> None:
        state = json.loads((folder / "build.json").read_text())
        change(state["emit"]["outputs"])
        (folder / "build.json").write_text(json.dumps(state))

    return edit


def put(name: str, text: str = "x") -> Change:
    return lambda folder: (folder / name).write_text(text)


def link(name: str, target: str) -> Change:
    def make(folder: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return make


def folder_of_code(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "evil.cpp").write_text("int x;")


CHANGES: dict[str, tuple[Change, str]] = {
    "changed source": (put("rtl/andpop_top.sv", "module andpop_top; $c"), "rtl (changed)"),
    "changed memory": (put("rtl/lib/weights.mem", "f0"), "rtl (changed)"),
    "more source": (put("rtl/evil.sv"), "rtl (changed)"),
    "more memory": (put("rtl/lib/evil.hex"), "rtl (changed)"),
    "code beside": (put("evil.sv"), "evil.sv (not of the build)"),
    "code beside in capitals": (put("EVIL.CPP"), "EVIL.CPP (not of the build)"),
    "code in a folder": (folder_of_code, "more (not of the build)"),
    "changed graph": (put("dataflow.onnx", "other"), "dataflow.onnx (changed)"),
    "changed depths": (put("fifo.json", "[]"), "fifo.json (changed)"),
    "lost file": (lambda f: (f / "fifo.json").unlink(), "fifo.json (missing)"),
    "lost source": (lambda f: (f / "rtl/andpop_top.sv").unlink(), "rtl (changed)"),
    "no entry": (recorded(lambda o: o.pop("rtl")), "rtl (not recorded)"),
    "planted checkpoint": (
        put("checkpoint.safetensors"),
        "checkpoint.safetensors (not recorded)",
    ),
    "link to the same": (link("fifo2.json", "fifo.json"), "fifo2.json (a link"),
    "link inside": (link("rtl/andpop_top.sv", "/etc/hostname"), "rtl/andpop_top.sv (a link"),
    "link to a folder": (link("rtl/lib2", "lib"), "rtl/lib2 (a link"),
    "link to nothing": (link("rtl/gone.sv", "nowhere"), "rtl/gone.sv (a link"),
    "pipe": (lambda f: os.mkfifo(f / "rtl" / "pipe"), "rtl/pipe (a link or no regular file)"),
    "folder above": (recorded(lambda o: o.update({"..": ""})), "build.json (not the record"),
    "path outside": (recorded(lambda o: o.update({"../net": ""})), "build.json (not the record"),
    "no digest": (recorded(lambda o: o.update(rtl=None)), "rtl (changed)"),
    "list": (put("build.json", "[1]"), "build.json (not the record"),
    "half": (put("build.json", '{"emit": {"out'), "build.json (not the record"),
    "deep": (put("build.json", "[" * 100_000), "build.json (not the record"),
    "other record": (put("build.json", '{"emit": {"outputs": 3}}'), "build.json (not the record"),
    "binary": (lambda f: (f / "build.json").write_bytes(b"\xff\xfe"), "build.json (not the"),
    "name with a line break": (put("a\nb.sv"), r"'a\nb.sv' (not of the build)"),
    "name that is not UTF-8": (
        lambda f: Path(os.fsdecode(bytes(f / "rtl") + b"/\xff.sv")).write_text("x"),
        "rtl (changed)",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_differs_is_refused_and_can_be_trusted(folder: Path, what: str) -> None:
    change, says = CHANGES[what]
    files = BuildFiles(folder)
    assert findings(files) == [] == check(files, True, False)
    change(folder)
    with pytest.raises(UsageError) as refusal:
        check(files, True, False)
    line = str(refusal.value)
    assert line.startswith(f"{folder}: found {says}") and line.isprintable()
    assert "expected the files that build.json records" in line and "--trust" in line
    (note,) = check(files, True, True)
    assert says in note and note.endswith("used all the same (--trust)")
    # Where nothing is compiled it is said and does no harm.
    (note,) = check(files, False, False)
    assert says in note


@pytest.mark.parametrize(
    "change",
    [
        put("notes.txt"),
        put("divergence.vcd"),
        put("report.html", "<p>completed"),
        lambda f: (f / "masks").mkdir(),
    ],
)
def test_what_no_tool_reads_is_no_difference(folder: Path, change: Change) -> None:
    change(folder)
    assert findings(BuildFiles(folder)) == []


def test_a_folder_reached_by_a_link_is_the_folder(folder: Path) -> None:
    other = folder.with_name("other")
    other.symlink_to(folder)
    assert findings(BuildFiles(other)) == []


def test_several_differences_are_counted(folder: Path) -> None:
    for name in ("a.sv", "b.sv", "rtl/c.sv"):
        (folder / name).write_text("x")
    with pytest.raises(UsageError, match=r"found rtl \(changed\) and 2 more, expected"):
        check(BuildFiles(folder), True, False)


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (("simulate",), True),
        (("simulate", "--no-capture"), True),
        (("simulate", "--trust"), False),
        (("compare", "--backends", "cpu, rtl"), True),
        (("compare",), True),
        (("compare", "--trust"), False),
        (("compare", "--backends", "golden,cpu"), False),
    ],
)
def test_commands_ask_before_they_compile(
    folder: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    refused: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def compiled(*_: object) -> None:
        pytest.fail("the RTL was opened")

    monkeypatch.setattr(Rtl, "__init__", compiled)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (folder / "rtl" / "evil.sv").write_text("x")
    command, *options = arguments
    line = [command, str(folder), "--images", str(tmp_path / "a.png"), *options]
    monkeypatch.setattr(sys, "argv", ["andpop", *line])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    (said,) = (s for s in capsys.readouterr().err.splitlines() if s.startswith("andpop: "))
    assert stop.value.code == BAD_INPUT
    # With trust the next thing that is wrong is told: the packed model is none.
    assert ("rtl (changed)" in said) == refused == ("model.andpop" not in said)


def test_what_fails_on_damaged_files_is_their_fault(folder: Path) -> None:
    @blames_damage
    def read(folder: Path, error: Exception) -> None:
        raise error

    with pytest.raises(KeyError):
        read(folder, KeyError("a node"))
    (folder / "fifo.json").write_text("[]")
    with pytest.raises(UsageError, match=r"found fifo.json \(changed\).*KeyError.*build again"):
        read(folder, KeyError("a node"))
    with pytest.raises(UsageError, match="^clear$"):
        read(folder, UsageError("clear"))
    with pytest.raises(KeyError):
        read(folder / "absent", KeyError("a node"))


@pytest.mark.parametrize("name", ["dataflow.onnx", "rtl/stitched.onnx", "rtl/top.json"])
def test_damaged_graphs_are_one_line(
    folder: Path,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    shutil.copy(api.ZOO / "pa-resnet-small-m4n5-neu.andpop", folder / "model.andpop")
    lists = ("sources", "sim_sources", "fifos", "taps", "nodes", "memories", "results")
    top: dict[str, Any] = {**dict.fromkeys(lists, []), "board": "pynq-z2", "clock_mhz": 100.0}
    (folder / "rtl" / "top.json").write_text(json.dumps({"top": "andpop_top", **top}))
    (folder / name).write_text("[" * 100_000)
    line = ["synth", str(folder)]
    if name == "dataflow.onnx":
        line = ["compare", str(folder), "--images", str(tmp_path / "a.png"), "--backends", "cpu"]
    monkeypatch.setattr(sys, "argv", ["andpop", *line])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    (said,) = (s for s in capsys.readouterr().err.splitlines() if s.startswith("andpop: "))
    assert stop.value.code == BAD_INPUT
    assert ("emit the RTL again" if name == "rtl/top.json" else "DecodeError") in said

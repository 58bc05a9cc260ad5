# SPDX-License-Identifier: Apache-2.0
"""Names from outside are printed as they are, by every command, and stay in their line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from andpop.flows import api
from andpop.flows.cli import terminal
from andpop.flows.errors import BAD_INPUT, OK
from andpop.flows.report import cycles_chart, write_report
from andpop.quant.names import printable
from PIL import Image
from program import Run

NAMES = {
    "img[front].png": "img[front].png",
    "img[back].png": "img[back].png",
    "a[/b].png": "a[/b].png",
    "[bold]x[red].png": "[bold]x[red].png",
    ":smile:.png": ":smile:.png",
    "{x} %s $a_b$.png": "{x} %s $a_b$.png",
    "<b>.png": "<b>.png",
    "-dash.png": "-dash.png",
    "two  blanks.png": "two  blanks.png",
    "new\nline.png": r"new\nline.png",
    "return\rline.png": r"return\rline.png",
    "tab\there.png": r"tab\there.png",
    "escape\x1b[31m.png": r"escape\x1b[31m.png",
    "bell\x07.png": r"bell\x07.png",
    "c1\x9b31m.png": r"c1\x9b31m.png",
    "back\u202egnp.png": r"back\u202egnp.png",
    "line\u2028.png": r"line\u2028.png",
    "bytes\udcff\udcfe.png": r"bytes\xff\xfe.png",
    "Öl 表面.png": "Öl 表面.png",
}
"""Name -> how it is shown."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((128, 128), 90, np.uint8)).save(path)
    return tmp_path / "pictures"


def test_what_stays_in_its_place_is_not_touched() -> None:
    assert {name: printable(name) for name in NAMES} == NAMES


def test_infer_prints_every_name(run: Run, folder: Path) -> None:
    code, text, _ = run("infer", api.DEMO_CHECKPOINT, "--images", folder)
    assert code == OK
    shown = [line.rpartition(" ")[0].rstrip() for line in text.splitlines()]
    assert sorted(shown) == sorted(f"{folder}/{name}" for name in NAMES.values())


def test_json_gives_every_name_back(run: Run, folder: Path) -> None:
    code, text, _ = run("infer", api.DEMO_CHECKPOINT, "--images", folder, "--json")
    assert code == OK
    found = {row["picture"] for row in json.loads(text)["predictions"]}
    assert found == {f"{folder}/{name}" for name in NAMES}


def test_a_table_prints_every_name_and_masks_are_written(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.out, "_width", 1000)
    masks = api.ZOO / "u-binet-k4-mt.andpop"
    code, text, _ = run("infer", masks, "--images", folder, "--out", tmp_path / "out")
    assert code == OK
    for name in NAMES.values():
        assert f"{folder}/{name} " in text, name
    assert len(list((tmp_path / "out").rglob("*.overlay.png"))) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_error_prints_the_name(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no picture")
    code, _, err = run("infer", api.DEMO_CHECKPOINT, "--images", path)
    assert code == BAD_INPUT
    assert err.splitlines() == [
        f"andpop: {tmp_path}/{NAMES[name]}: found something that is no picture of the known kinds, "
        "expected one of BMP, JPEG, PNG, PPM, TIFF, WEBP"
    ]


@pytest.mark.parametrize("character", ["9", "x/", "é"])
def test_an_endless_path_is_cut(run: Run, character: str) -> None:
    for option in ("--images", "--out"):
        words = {"--images": "absent", "--out": "absent"} | {option: character * 5000}
        arguments = [text for pair in words.items() for text in pair]
        code, _, err = run("infer", api.DEMO_CHECKPOINT, *arguments)
        assert code == BAD_INPUT and len(err.splitlines()) == 1 and len(err) < 500
    code, _, err = run("infer", character * 5000, "--images", "absent")
    assert code == BAD_INPUT and len(err.splitlines()) == 1 and len(err) < 500


@pytest.mark.parametrize("name", ["[bold]x[red]", ":smile:", "x\x1b[31m"])
def test_names_of_classes_are_printed(run: Run, tmp_path: Path, name: str) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(_made(tmp_path / name / "a.png"))
    code, _, err = run("eval", api.DEMO_CHECKPOINT, "--data", tmp_path)
    assert code == BAD_INPUT
    assert f"found class {printable(name)}" in err


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_a_name_that_begins_with_a_dash_is_an_options_value(run: Run, folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)
    try:
        code, text, _ = run("infer", api.DEMO_CHECKPOINT, "--images", "-dash.png")
    finally:
        os.chdir(before)
    assert (code, text.split()[0]) == (OK, "-dash.png")


def test_a_terminal_of_ascii_is_no_reason_to_fail(folder: Path) -> None:
    program = "from andpop.flows import cli; cli.main()"
    arguments = ("infer", api.DEMO_CHECKPOINT, "--images", folder)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == OK
    assert rb"\xd6l \u8868\u9762.png" in done.stdout


def test_bars_take_any_stage() -> None:
    with terminal.Bars(quiet=False) as progress:
        progress("synthesis: a[/b]", 0, 2)
        progress("synthesis: [bold]", 2, 2)


@pytest.mark.parametrize("name", NAMES)
def test_a_report_shows_the_name(tmp_path: Path, name: str) -> None:
    nodes = [{"name": name, "op": "XnorMvu", "cycles": 5}]
    report = {
        "network": "n", "input": [8, 8, 1], "source": name, "source_sha256": "0" * 64,
        "board": "pynq-z2", "clock_mhz": 100.0, "implementations": [], "fit": None,
        "fifos": [], "skips": [],
        "cycles": {"nodes": nodes, "slowest": nodes[0], "fps": 1.0}, "versions": {"andpop": "0"},
        "trained": None, "commands": [name], "synthetic": False, "backends": [],
        "predictions": [{"picture": name, "text": name, "panels": [{"uri": "data:,"}]}],
        "simulation": None, "task": "classification",
    }  # fmt: skip
    write_report(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = NAMES[name].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert page.count(shown) >= 5
    assert name == NAMES[name] or name not in page
    assert "<b>.png" not in page


def test_a_dollar_in_a_chart_is_no_formula() -> None:
    assert r"$\frac$" in cycles_chart([{"name": r"$\frac$", "op": "XnorMvu", "cycles": 5}])

# SPDX-License-Identifier: Apache-2.0
"""Builds resume, skip what did not change, and leave the last good one intact when they fail."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from andpop.flows.build import Context, Step, run_build
from andpop.flows.config import BuildConfig, read_config
from andpop.flows.errors import BAD_INPUT, UsageError, explain


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


class Recipe:
    """Two steps that write a file each and count their runs."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.error: Exception | None = None

    def first(self, context: Context) -> None:
        self.runs.append("first")
        (context.folder / "a.txt").write_text(context.source.read_text().upper())

    def second(self, context: Context) -> None:
        self.runs.append("second")
        if self.error is not None:
            (context.folder / "b.txt").write_text("half")
            raise self.error
        text = (context.folder / "a.txt").read_text()
        (context.folder / "b.txt").write_text(f"{text} {context.config.clock_mhz}")

    @property
    def steps(self) -> list[Step]:
        return [
            Step("first", self.first, ("SOURCE",), ("a.txt",)),
            Step("second", self.second, ("a.txt",), ("b.txt",), ("clock_mhz",)),
        ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.txt"
    path.write_text("steel")
    return path


def test_unchanged_steps_are_skipped(source: Path, tmp_path: Path) -> None:
    recipe, out = Recipe(), tmp_path / "build"
    run_build(recipe.steps, source, out, BuildConfig(), silent)
    assert recipe.runs == ["first", "second"]
    rows = run_build(recipe.steps, source, out, BuildConfig(), silent)
    assert recipe.runs == ["first", "second"]
    assert [row["skipped"] for row in rows] == [True, True]


def test_a_changed_option_redoes_what_depends_on_it(source: Path, tmp_path: Path) -> None:
    recipe, out = Recipe(), tmp_path / "build"
    run_build(recipe.steps, source, out, BuildConfig(), silent)
    run_build(recipe.steps, source, out, BuildConfig(clock_mhz=200.0), silent)
    assert recipe.runs == ["first", "second", "second"]
    assert (out / "b.txt").read_text() == "STEEL 200.0"


def test_a_damaged_output_is_made_again(source: Path, tmp_path: Path) -> None:
    recipe, out = Recipe(), tmp_path / "build"
    run_build(recipe.steps, source, out, BuildConfig(), silent)
    (out / "b.txt").write_text("damaged")
    run_build(recipe.steps, source, out, BuildConfig(), silent)
    assert recipe.runs == ["first", "second", "second"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_failed_build_leaves_the_last_good_one(number: int, source: Path, tmp_path: Path) -> None:
    recipe, out = Recipe(), tmp_path / "build"
    run_build(recipe.steps, source, out, BuildConfig(), silent)
    source.write_text("iron")
    recipe.error = OSError(number, "no", str(out))
    with pytest.raises(OSError) as failure:
        run_build(recipe.steps, source, out, BuildConfig(), silent)
    known = explain(failure.value)
    assert known is not None and known[0] == BAD_INPUT and "\n" not in known[1]
    assert (out / "a.txt").read_text() == "STEEL"
    assert (out / "b.txt").read_text() == "STEEL 100.0"
    assert sorted(p.name for p in (tmp_path / ".build.partial").iterdir()) == [
        "a.txt",
        "build.json",
    ]
    recipe.error = None
    recipe.runs.clear()
    run_build(recipe.steps, source, out, BuildConfig(), silent)
    assert recipe.runs == ["second"]
    assert (out / "b.txt").read_text() == "IRON 100.0"
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_bad_input_leaves_nothing(source: Path, tmp_path: Path) -> None:
    recipe, out = Recipe(), tmp_path / "build"
    recipe.error = UsageError("not like this")
    with pytest.raises(UsageError):
        run_build(recipe.steps, source, out, BuildConfig(), silent)
    assert [p.name for p in tmp_path.iterdir()] == ["source.txt"]


def test_until_names_a_step(source: Path, tmp_path: Path) -> None:
    recipe, out = Recipe(), tmp_path / "build"
    run_build(recipe.steps, source, out, BuildConfig(until="first"), silent)
    assert recipe.runs == ["first"]
    with pytest.raises(UsageError, match="expected one of first, second"):
        run_build(recipe.steps, source, out, BuildConfig(until="third"), silent)


def test_command_line_wins_over_build_yaml(tmp_path: Path) -> None:
    file = tmp_path / "build.yaml"
    file.write_text("target_cycles: 9000\nclock_mhz: 150\n")
    config = read_config(file, {"clock_mhz": 200.0, "until": None})
    assert (config.target_cycles, config.clock_mhz) == (9000, 200.0)


def test_two_targets_are_refused() -> None:
    with pytest.raises(UsageError, match="at most one"):
        read_config(None, {"target_cycles": 5, "target_fps": 5.0})


def test_state_is_json(source: Path, tmp_path: Path) -> None:
    recipe, out = Recipe(), tmp_path / "build"
    run_build(recipe.steps, source, out, BuildConfig(), silent)
    assert set(json.loads((out / "build.json").read_text())) == {"first", "second"}

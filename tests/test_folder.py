# SPDX-License-Identifier: Apache-2.0
"""A build folder is seen whole by every command, whoever builds, reads or is killed meanwhile."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from andpop.flows import folder as folders
from andpop.flows.build import Context, Step, run_build
from andpop.flows.config import BuildConfig
from andpop.flows.errors import CHECK_FAILED, UsageError, explain
from andpop.flows.files import open_build
from andpop.flows.folder import Busy, reading, writing

KILLED = 9


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def steps(pause: float = 0.0) -> list[Step]:
    """Two steps that copy the source into a file each."""

    def copy(name: str) -> Any:
        def run(context: Context) -> None:
            time.sleep(pause)
            (context.folder / name).write_text(context.source.read_text())

        return run

    return [Step(n, copy(f"{n}.txt"), ("SOURCE",), (f"{n}.txt",)) for n in ("first", "second")]


def make(text: str, source: Path, out: Path, pause: float = 0.0) -> None:
    """Build ``text`` into a folder."""
    source.write_text(text)
    run_build(steps(pause), source, out, BuildConfig(), silent)


def content(out: Path) -> set[str]:
    """What the files of a build hold: one word if they belong together."""
    return {(out / f"{name}.txt").read_text() for name in ("first", "second")}


def hidden(parent: Path) -> list[str]:
    """Names of the hidden files and folders."""
    return sorted(p.name for p in parent.glob(".*"))


KILLER = """
import os, shutil, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_folder
name, count, source, out = sys.argv[1:]
left = int(count)
def fatal(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os._exit({killed})
        return function(*args, **kwargs)
    return call
if name == "rename":
    Path.rename = fatal(Path.rename)
elif name == "after-rename":
    def later(function, stop=fatal(lambda: None)):
        def call(*args):
            result = function(*args)
            stop()
            return result
        return call
    Path.rename = later(Path.rename)
elif name == "replace":
    os.replace = Path.replace = fatal(Path.replace)
elif name == "rmtree":
    real = shutil.rmtree
    def half(folder, **kwargs):
        if Path(folder).name.endswith(".old") and Path(folder).exists():
            next(Path(folder).glob("*.txt")).unlink()
            os._exit({killed})
        real(folder, **kwargs)
    shutil.rmtree = half
test_folder.make("new", Path(source), Path(out))
"""


def kill(name: str, count: int, source: Path, out: Path) -> None:
    """Build "new" in a process that dies at the ``count``-th call of a function."""
    text = KILLER.format(tests=str(Path(__file__).parent), killed=KILLED)
    command = [sys.executable, "-c", text, name, str(count), str(source), str(out)]
    assert subprocess.run(command, check=False).returncode == KILLED


# Renames of a build over an old one: copy to partial, partial to new, old away, new in place.
POINTS = [
    *(("rename", n) for n in (1, 2, 3, 4)),
    *(("after-rename", n) for n in (1, 2, 3, 4)),
    *(("replace", n) for n in (1, 2)),
    ("rmtree", 1),
]


@pytest.mark.parametrize(("name", "count"), POINTS)
def test_a_killed_build_is_put_right_by_whoever_reads_next(
    name: str, count: int, tmp_path: Path
) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    kill(name, count, source, out)
    complete = name == "rmtree" or (name, count) in {
        ("rename", 3), ("rename", 4), ("after-rename", 2), ("after-rename", 3), ("after-rename", 4)
    }  # fmt: skip
    with reading(out):
        assert content(out) == {"new" if complete else "old"}
    make("next", source, out)
    assert content(out) == {"next"}
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(("name", "count"), [POINTS[5], POINTS[6], POINTS[-1]])
def test_a_killed_build_is_put_right_by_the_next_build(
    name: str, count: int, tmp_path: Path
) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    kill(name, count, source, out)
    make("next", source, out)
    assert content(out) == {"next"}
    assert hidden(tmp_path) == []


def test_a_killed_first_build_is_put_right(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    kill("rename", 2, source, out)
    assert not out.exists()
    with reading(out):
        assert content(out) == {"new"}


def test_the_old_build_comes_back_if_nothing_else_is_left(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    out.rename(tmp_path / ".build.old")
    (tmp_path / ".build.partial").mkdir()
    with reading(out):
        assert content(out) == {"old"}


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
@pytest.mark.parametrize("name", ["new", "old", "copy"])
def test_what_is_no_build_never_replaces_one(name: str, kind: str, tmp_path: Path) -> None:
    source, out, stray = tmp_path / "source.txt", tmp_path / "build", tmp_path / f".build.{name}"
    make("old", source, out)
    if kind == "file":
        stray.write_text("x")
    elif kind == "folder":
        (stray / "inside").mkdir(parents=True)
    else:
        (tmp_path / "elsewhere").mkdir()
        stray.symlink_to("elsewhere")
    with reading(out):
        assert content(out) == {"old"}
    make("next", source, out)
    assert content(out) == {"next"}
    assert hidden(tmp_path) == []
    assert (tmp_path / "elsewhere").exists() == (kind == "link")


def test_a_stray_file_does_not_stand_in_for_the_old_build(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    out.rename(tmp_path / ".build.old")
    (tmp_path / ".build.new").write_text("x")
    with reading(out):
        assert content(out) == {"old"}


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_old_build_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    out, old = tmp_path / "build", tmp_path / ".build.old"
    if kind == "file":
        old.write_text("x")
    elif kind == "folder":
        old.mkdir()
    else:
        (tmp_path / "elsewhere").mkdir()
        old.symlink_to("elsewhere")
    with reading(out):
        assert not out.exists()


def test_a_pipe_in_the_place_of_the_state_is_not_waited_for(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    (out / "build.json").unlink()
    os.mkfifo(out / "build.json")
    with reading(out), pytest.raises(UsageError, match="is not a build of andpop"):
        open_build(out)


def test_links_in_a_circle_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError) as error:
        make("new", tmp_path / "source.txt", tmp_path / "one")
    told = explain(error.value)
    assert told is not None and "too many levels of symbolic links" in told[1]
    assert hidden(tmp_path) == []


def test_leftovers_of_a_killed_step_go(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    partial = tmp_path / ".build.partial"
    make("old", source, partial)
    (partial / "build.json").unlink()
    (partial / ".build.json.part").write_text("{")
    (partial / "notes.txt").write_text("mine")
    make("new", source, out)
    names = sorted(p.name for p in out.iterdir())
    assert names == ["build.json", "first.txt", "notes.txt", "second.txt"]
    assert hidden(tmp_path) == []


def test_what_no_step_writes_any_more_goes(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    run_build(steps()[:1], source, out, BuildConfig(), silent)
    assert not (out / "second.txt").exists()


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"first": 3}', '{"first": {"key": 1}}', "\xff", "[" * 100_000]
)
def test_a_damaged_state_means_building_anew(text: str, tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    (out / "build.json").write_text(text, encoding="latin-1")
    make("new", source, out)
    assert content(out) == {"new"}
    assert set(json.loads((out / "build.json").read_text())) == {"first", "second"}


def _slow(text: str, folder: Path, out: Path, queue: multiprocessing.Queue[str]) -> None:
    try:
        make(text, folder / f"{text}.txt", out, pause=1.0)
        queue.put(text)
    except Busy as busy:
        queue.put(str(busy))


def test_the_second_of_two_builds_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[str] = context.Queue()
    out = tmp_path / "build"
    tasks = [context.Process(target=_slow, args=(t, tmp_path, out, queue)) for t in ("a", "b")]
    for task in tasks:
        task.start()
    found = [queue.get(timeout=60) for _ in tasks]
    for task in tasks:
        task.join()
    refused = next(text for text in found if len(text) > 1)
    assert len(found) == 2 and f"{out}: " in refused and "writes it now" in refused
    assert any(f"process {task.pid}" in refused for task in tasks)
    assert content(out) == {next(text for text in found if len(text) == 1)}
    assert hidden(tmp_path) == []


def test_a_held_folder_is_refused_within_one_process_and_is_free_after_a_kill(
    tmp_path: Path,
) -> None:
    path = tmp_path / "build"
    with writing(path):
        with pytest.raises(Busy) as busy, writing(path):
            pass
        known = explain(busy.value)
        assert known is not None and known[0] == CHECK_FAILED
        assert f"process {os.getpid()}" in known[1]
    assert hidden(tmp_path) == []
    # What a killed process leaves: the file, with nobody holding it.
    (tmp_path / ".build.lock").write_text('{"pid": 1}')
    with writing(path):
        pass
    assert hidden(tmp_path) == []


def test_a_new_build_waits_for_readers(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    said: list[str] = []
    source.write_text("new")
    builder = threading.Thread(
        target=run_build,
        args=(steps(), source, out, BuildConfig(), lambda stage, *_: said.append(stage)),
    )
    with reading(out):
        builder.start()
        deadline = time.monotonic() + 30
        while not any("waiting" in stage for stage in said) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert any("waiting" in stage for stage in said)
        assert content(out) == {"old"}
    builder.join(timeout=30)
    assert content(out) == {"new"}
    assert hidden(tmp_path) == []


def _read_until(out: Path, stop: Any, queue: multiprocessing.Queue[Any]) -> None:
    seen = 0
    while not stop.is_set():
        with reading(out):
            words = content(out)
        if len(words) != 1:
            queue.put(words)
            return
        seen += 1
    queue.put(seen)


def test_readers_never_see_half_a_build(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("0", source, out)
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[Any] = context.Queue()
    stop = context.Event()
    # A reader that is left behind by a failure must not keep the test program from ending.
    reader = context.Process(target=_read_until, args=(out, stop, queue), daemon=True)
    reader.start()
    for number in range(1, 40):
        make(str(number), source, out)
    stop.set()
    seen = queue.get(timeout=60)
    reader.join()
    assert isinstance(seen, int) and seen > 0


def test_a_reader_that_finishes_a_swap_stops_no_builder(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with writing(out, patience=0):
            held.set()
            done.wait(0.3)

    reader = threading.Thread(target=hold)
    reader.start()
    assert held.wait(10)
    make("new", source, out)
    reader.join()
    assert content(out) == {"new"} and hidden(tmp_path) == []


def test_a_link_stays_and_what_is_behind_it_is_rebuilt(tmp_path: Path) -> None:
    source, link = tmp_path / "source.txt", tmp_path / "link"
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "build"
    make("old", source, real)
    link.symlink_to(Path("elsewhere") / "build")
    make("new", source, link)
    assert link.is_symlink() and content(real) == {"new"}
    assert hidden(tmp_path) == [] and hidden(real.parent) == []
    # A link to what is not there yet is followed, too.
    again = tmp_path / "again"
    again.symlink_to(tmp_path / "elsewhere" / "later")
    make("new", source, again)
    assert again.is_symlink() and content(tmp_path / "elsewhere" / "later") == {"new"}


def test_the_folder_one_is_in_can_be_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    monkeypatch.chdir(out)
    make("new", source, Path())
    assert content(out) == {"new"}


def test_a_refused_build_leaves_no_folder_above_it(tmp_path: Path) -> None:
    def refuse(context: Context) -> None:
        raise UsageError("not like this")

    source = tmp_path / "source.txt"
    source.write_text("x")
    refused = [Step("only", refuse, ("SOURCE",), ())]
    with pytest.raises(UsageError, match="not like this"):
        run_build(refused, source, tmp_path / "a" / "b" / "build", BuildConfig(), silent)
    assert [p.name for p in tmp_path.iterdir()] == ["source.txt"]


def test_a_build_that_cannot_be_written_to_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "build"
    make("old", source, out)
    (tmp_path / ".build.new").mkdir()  # left by somebody who was killed

    def refuse(path: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(folders, "writing", refuse)
    with reading(out):
        assert content(out) == {"old"}


def test_two_trainings_do_not_share_a_checkpoint(tmp_path: Path) -> None:
    from andpop.flows import api
    from andpop.quant import synthetic

    synthetic.generate(tmp_path / "data", 2, 32, seed=1)
    checkpoint = tmp_path / "net.safetensors"
    with writing(checkpoint), pytest.raises(Busy, match=r"net\.safetensors: process"):
        api.train(
            "bi-shufflenet",
            tmp_path / "data",
            checkpoint,
            size=(32, 32, 1),
            config={"width": 0.25},
            recipe={"epochs": 1, "finetune_epochs": 0, "batch": 2},
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_every_command_that_opens_a_build_puts_it_right_first(tmp_path: Path) -> None:
    import andpop
    from andpop.flows import api

    calls = {
        "simulate": lambda out: api.simulate(out, tmp_path),
        "compare": lambda out: api.compare(out, tmp_path, ["cpu"]),
        "synth": lambda out: api.synth(out),
        "infer": lambda out: api.infer(out, tmp_path),
        "evaluate": lambda out: api.evaluate(model=out, data=tmp_path),
        "load": lambda out: andpop.load(str(out)),
    }
    for name, call in calls.items():
        source, out = tmp_path / "source.txt", tmp_path / name
        make("whole", source, out)
        out.rename(tmp_path / f".{name}.new")
        with pytest.raises(ValueError, match=name):
            call(out)  # two text files are no network
        assert content(out) == {"whole"}, name
    assert hidden(tmp_path) == []

# SPDX-License-Identifier: Apache-2.0
"""The cache gives whole entries only, is its owner's alone, keeps nothing of the killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from andpop.flows.errors import BAD_INPUT, explain
from andpop.sim import cache
from andpop.sim.cache import CacheError, building, cache_folder, content_key, scratch


def fill(key: str) -> tuple[Path, bool]:
    """Get an entry; returns its folder and whether it was made now."""
    with building(key) as (final, work):
        if work is not None:
            (work / "obj").mkdir()
            (work / "obj" / "model.so").write_bytes(bytes(range(200)))
            (work / "first.h").write_text("int x;\n")
    return final, work is not None


def truncate(entry: Path) -> None:
    """Cut a file in half."""
    os.truncate(entry / "obj" / "model.so", 100)


def empty(entry: Path) -> None:
    """Empty a file."""
    os.truncate(entry / "obj" / "model.so", 0)


def flip(entry: Path) -> None:
    """Change one bit."""
    path = entry / "obj" / "model.so"
    path.write_bytes(b"\1" + path.read_bytes()[1:])


def remove(entry: Path) -> None:
    """Remove a file."""
    (entry / "first.h").unlink()


def add(entry: Path) -> None:
    """Add a file."""
    (entry / "first.h.gch").write_text("x")


def unseal(entry: Path) -> None:
    """Remove the digests, which entries of older versions lack."""
    (entry / cache.SEAL).unlink()


def garble(entry: Path) -> None:
    """Leave digests that are no JSON."""
    (entry / cache.SEAL).write_bytes(b"\xff[")


def other(entry: Path) -> None:
    """Leave digests of another kind."""
    (entry / cache.SEAL).write_text("[]")


def nest(entry: Path) -> None:
    """Leave digests that are nested deeper than Python reads."""
    (entry / cache.SEAL).write_text("[" * 100_000)


def pipe(entry: Path) -> None:
    """Put a pipe in the place of a file: reading it would wait for ever."""
    remove(entry)
    os.mkfifo(entry / "first.h")


DAMAGE = [truncate, empty, flip, remove, add, unseal, garble, other, nest, pipe]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_a_damaged_entry_is_made_anew(damage: Any, empty_cache: Path) -> None:
    final, made = fill("library-1")
    assert made and fill("library-1") == (final, False)
    damage(final)
    assert fill("library-1") == (final, True)
    assert (final / "obj" / "model.so").read_bytes() == bytes(range(200))
    assert fill("library-1") == (final, False)
    assert sorted(p.name for p in empty_cache.iterdir()) == ["library-1", "locks", "scratch"]
    assert list((empty_cache / "scratch").iterdir()) == []


def test_a_file_in_the_place_of_an_entry_is_replaced(empty_cache: Path) -> None:
    (cache_folder() / "library-1").write_text("x")
    assert fill("library-1")[1]


def test_a_failed_build_leaves_no_entry(empty_cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt), building("library-1") as (_, work):
        assert work is not None
        (work / "model.so").write_text("half")
        raise KeyboardInterrupt
    assert not (empty_cache / "library-1").exists()
    assert list((empty_cache / "scratch").iterdir()) == []


def _hang(queue: multiprocessing.Queue[str]) -> None:
    with building("library-1") as (_, work), scratch("build") as folder:
        assert work is not None
        (work / "model.so").write_text("half")
        queue.put(str(folder))
        time.sleep(600)


def test_leftovers_of_a_killed_process_go_and_those_of_a_live_one_stay(empty_cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_hang, args=(queue,))
    process.start()
    theirs = Path(queue.get(timeout=60))
    with scratch("other"):
        assert theirs.is_dir()
        assert len(list((empty_cache / "scratch").iterdir())) == 3
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert theirs.is_dir()
    assert fill("library-1")[1]
    assert list((empty_cache / "scratch").iterdir()) == []


def _fill(key: str, queue: multiprocessing.Queue[bool]) -> None:
    queue.put(fill(key)[1])


def test_one_of_many_processes_makes_an_entry(empty_cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[bool] = context.Queue()
    processes = [context.Process(target=_fill, args=("library-1", queue)) for _ in range(4)]
    for process in processes:
        process.start()
    assert sorted(queue.get(timeout=60) for _ in processes) == [False, False, False, True]
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_the_key_holds_the_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "a.sv"
    file.write_text("module a; endmodule\n")
    before = content_key("library", file, 3)
    assert before == content_key("library", file, 3) != content_key("library", file, 4)
    monkeypatch.setattr(cache, "__version__", "99.0")
    assert content_key("library", file, 3) != before


def test_a_new_cache_is_its_owners_alone(empty_cache: Path) -> None:
    before = os.umask(0)
    try:
        folders = (cache_folder(), cache.subfolder("finn"), fill("library-1")[0])
    finally:
        os.umask(before)
    assert [f.stat().st_mode & 0o777 for f in folders] == [0o700, 0o700, 0o700]


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o702])
def test_a_cache_that_others_may_write_is_refused(mode: int, empty_cache: Path) -> None:
    empty_cache.mkdir()
    empty_cache.chmod(mode)
    with pytest.raises(CacheError, match=f"mode {mode:o}.*chmod go-w") as error:
        cache_folder()
    known = explain(error.value)
    assert known is not None and known[0] == BAD_INPUT and str(empty_cache) in known[1]
    empty_cache.chmod(0o755)
    assert cache_folder() == empty_cache


def test_somebody_elses_cache_is_refused(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_cache.mkdir()
    owner = empty_cache.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(CacheError, match=f"belongs to user {owner}, expected {owner + 1}"):
        cache_folder()
    link = empty_cache.parent / "link"
    link.symlink_to(empty_cache)
    monkeypatch.setenv("ANDPOP_CACHE", str(link))
    with pytest.raises(CacheError, match="belongs to user"):
        cache_folder()


def test_without_a_home_the_variable_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("ANDPOP_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(CacheError, match="set ANDPOP_CACHE"):
        cache_folder()


def test_digests_name_version_and_files(empty_cache: Path) -> None:
    final, _ = fill("library-1")
    seal = json.loads((final / cache.SEAL).read_text())
    assert set(seal) == {"andpop", "files"} and set(seal["files"]) == {"first.h", "obj/model.so"}

# SPDX-License-Identifier: Apache-2.0
"""Who may use a folder or file when: one command that writes it, any number that read a build.

A build folder ``steel`` is made in ``.steel.partial`` beside it and takes its place whole. Four
names beside it tell how far that is, so that a kill at any point is put right by whoever opens the
folder next:

    .steel.lock      held by the command that builds; its text says which
    .steel.copy      the last build, being copied to where the next one starts from
    .steel.partial   the next build, resumed by the next ``andpop build`` if it was interrupted
    .steel.new       the next build, complete, about to become ``steel``
    .steel.old       what ``steel`` was before

Readers hold a shared lock on the build's own ``build.json``; a new build takes its place when
nobody reads the old one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import inspect
import json
import os
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from filelock import FileLock, Timeout

STATE = "build.json"
PAUSE = 0.05
"""Seconds between two looks at a lock that somebody else holds."""
LOOKS = 10
"""How often who holds a lock is looked for."""
PATIENCE = 0.5
"""Seconds that a command waits for a folder before it is refused."""
COMMAND_CHARS = 120

P = ParamSpec("P")
R = TypeVar("R")


class Busy(RuntimeError):
    """Another command writes the folder or file; the message says which one."""


def behind_links(path: Path) -> Path:
    """Return the absolute path behind symbolic links, whether it exists or not.

    Raises:
        OSError: the links go round in a circle.
    """
    found = Path(os.path.realpath(path))
    if found.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return found


def beside(path: Path, kind: str) -> Path:
    """Return the hidden companion ``.<name>.<kind>`` of a folder or file."""
    return path.with_name(f".{path.name}.{kind}")


@contextlib.contextmanager
def writing(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a folder or file for this command; its lock file is gone at the end.

    Args:
        path: the folder or file.
        patience: seconds to wait for it: a reader holds it for a moment where it finds a swap
            unfinished.

    Raises:
        Busy: another command holds it.
        OSError: the folder around it is missing or cannot be written.
    """
    file = beside(path, "lock")
    # A lock of another kind would not exclude those who lock with flock.
    lock = FileLock(file, fallback_to_soft=False)
    try:
        lock.acquire(timeout=patience, poll_interval=PAUSE)
    except Timeout:
        raise Busy(
            f"{path}: {_holder(file)} writes it now; wait until that has ended, or choose "
            "another --out"
        ) from None
    try:
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:COMMAND_CHARS]
        about = {"pid": os.getpid(), "host": socket.gethostname(), "command": command}
        file.write_text(json.dumps(about), encoding="utf-8")
        yield
    finally:
        # While it is held: whoever waits for this file notices that it has no name any more.
        file.unlink(missing_ok=True)
        lock.release()


def _holder(file: Path) -> str:
    """Name who holds a lock; who has only just taken it writes that down a moment later."""
    for _ in range(LOOKS):
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            where = "" if about["host"] == socket.gethostname() else f" on {about['host']}"
            return f"process {about['pid']}{where} ({about['command']})"
        except FileNotFoundError:
            break
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            time.sleep(PAUSE)
    return "another command"


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep a build as it is while the block runs; finishes what a killed build left undone.

    Does nothing for what is no build folder.
    """
    stream = _enter(behind_links(folder))
    try:
        yield
    finally:
        if stream is not None:
            stream.close()


def reads_build(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function ``reading`` the folder that is its first argument."""
    first = next(iter(inspect.signature(function).parameters))

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        folder = args[0] if args else kwargs.get(first)
        with reading(Path(str(folder))):
            return function(*args, **kwargs)

    return wrapped


def _enter(out: Path) -> IO[bytes] | None:
    """Open and lock ``build.json`` of the build that is in place; None if there is none."""
    while True:
        unfinished = _unfinished(out)
        if unfinished:
            _try_recover(out)
        try:
            stream = _open_state(out)
        except (FileNotFoundError, NotADirectoryError):
            if not unfinished and not _unfinished(out) and not (out / STATE).exists():
                return None
            time.sleep(PAUSE)  # a live build is between its two renames
            continue
        fcntl.flock(stream, fcntl.LOCK_SH)
        if _is_at(stream, out / STATE):
            return stream
        stream.close()


def _open_state(out: Path) -> IO[bytes]:
    # A pipe in its place is opened without waiting for somebody to write into it.
    return open(out / STATE, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))


def _unfinished(out: Path) -> bool:
    return _is_build(beside(out, "new")) or (_is_build(beside(out, "old")) and not out.exists())


def _is_build(folder: Path) -> bool:
    """Whether a companion is what a swap leaves: something else must not replace a build."""
    return not folder.is_symlink() and (folder / STATE).is_file()


def _is_at(stream: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _try_recover(out: Path) -> None:
    """Finish the swap of a killed build, unless its folder is in use or in order for reading."""
    try:
        with writing(out, patience=0), _alone(out) as free:
            if free:
                recover(out)
    except Busy:
        return
    except OSError:
        # What cannot be written can still be read as it was before.
        if not (out / STATE).is_file():
            raise


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[bool]:
    """Keep readers out while the block runs; yields False if there are some."""
    try:
        stream = _open_state(out)
    except (FileNotFoundError, NotADirectoryError):
        yield True
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def put_right(out: Path, waiting: Callable[[], None]) -> None:
    """Finish what a killed build left undone and remove what it left, but for ``.partial``.

    Args:
        out: held by ``writing``.
        waiting: called again and again while somebody reads a build that must be moved.
    """
    while _unfinished(out):
        with _alone(out) as free:
            if free:
                recover(out)
                continue
        waiting()
        time.sleep(PAUSE)
    for kind in ("new", "old", "copy"):
        _discard(beside(out, kind))


def swap(staging: Path, out: Path, waiting: Callable[[], None]) -> None:
    """Let a complete build take the place of ``out`` as soon as nobody reads the old one.

    Args:
        staging: the folder of the new build, beside ``out``.
        out: held by ``writing``.
        waiting: called again and again while somebody reads the old build.
    """
    while True:
        with _alone(out) as free:
            if free:
                # From here on the new build is complete, whatever happens.
                staging.rename(beside(out, "new"))
                try:
                    recover(out)
                except KeyboardInterrupt:
                    recover(out)
                    raise
                return
        waiting()
        time.sleep(PAUSE)


def recover(out: Path) -> None:
    """Finish a swap, from wherever it stopped; ``out`` is held and nobody reads it."""
    new, old = beside(out, "new"), beside(out, "old")
    if _is_build(new):
        if out.exists():
            _discard(old)
            out.rename(old)
        new.rename(out)
    elif not out.exists() and _is_build(old):
        old.rename(out)
    _discard(old)


def _discard(path: Path) -> None:
    """Remove a build, or what lies in its place; a half-removed build is none any more."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    (path / STATE).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)

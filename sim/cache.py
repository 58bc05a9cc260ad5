# SPDX-License-Identifier: Apache-2.0
"""The cache of finished builds: entries found by content, checked before use, made by one process.

Every entry holds the digests of its files, so that a damaged one is made anew instead of being
loaded. Unfinished work lies in folders that their process holds locked: those of a killed process
are removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from .. import __version__

VARIABLE = "ANDPOP_CACHE"
SEAL = "digests.json"
"""In every entry: the andpop that made it and the SHA-256 of every other file."""


class CacheError(ValueError):
    """The cache folder cannot be trusted or found; the message says what to do."""


def cache_folder() -> Path:
    """The folder of finished builds: ``ANDPOP_CACHE``, by default ``~/.cache/andpop``.

    What lies in it is loaded and run, so nobody else may write there.

    Raises:
        CacheError: it belongs to another user, or others may write to it.
        OSError: it cannot be made.
    """
    given = os.environ.get(VARIABLE)
    try:
        folder = Path(given) if given else Path.home() / ".cache" / "andpop"
    except RuntimeError as error:
        raise CacheError(f"no home folder found for the cache; set {VARIABLE}") from error
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise CacheError(
            f"{folder}: the cache belongs to user {found.st_uid}, expected {os.geteuid()} as what "
            f"lies in it is run; set {VARIABLE} to a folder of your own"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheError(
            f"{folder}: the cache can be written by other users (mode "
            f"{stat.S_IMODE(found.st_mode):o}), and what lies in it is run; remove it, or if you "
            f"trust it: chmod go-w {folder}"
        )
    return folder


def subfolder(name: str) -> Path:
    """Return a folder of that name in the cache, written by its owner alone."""
    folder = cache_folder() / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def content_key(kind: str, *parts: object) -> str:
    """Return ``kind`` with a hash of andpop's version and ``parts``.

    Files count by name and content, everything else by ``repr``.
    """
    digest = hashlib.sha256(__version__.encode() + b"\1")
    for part in parts:
        if isinstance(part, Path):
            digest.update(part.name.encode() + b"\0" + part.read_bytes())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\1")
    return f"{kind}-{digest.hexdigest()[:24]}"


@contextlib.contextmanager
def building(key: str) -> Iterator[tuple[Path, Path | None]]:
    """Yield ``(final, work)`` for the cache entry ``key``.

    ``work`` is an empty folder to fill, moved to ``final`` when the block ends without an error;
    it is None when the entry exists and no file of it has changed since it was made. Processes
    that want the same entry wait for each other.

    Raises:
        CacheError: as for ``cache_folder``.
    """
    final = cache_folder() / key
    with FileLock(subfolder("locks") / f"{key}.lock"):
        if _whole(final):
            yield final, None
            return
        with scratch(key) as folder:
            work = folder / "work"
            work.mkdir(mode=0o700)
            yield final, work
            text = json.dumps({"andpop": __version__, "files": _digests(work)}, indent=1)
            (work / SEAL).write_text(text + "\n", encoding="ascii")
            if os.path.lexists(final):
                final.rename(folder / "damaged")
            work.rename(final)


def finished(key: str) -> Path | None:
    """Return the cache entry ``key`` if it exists and is whole.

    Raises:
        CacheError: as for ``cache_folder``.
    """
    entry = cache_folder() / key
    return entry if _whole(entry) else None


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of an entry but its seal, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name != SEAL and not path.is_dir():
            with path.open("rb") as stream:
                found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def _whole(entry: Path) -> bool:
    if any(not (path.is_file() or path.is_dir()) for path in (entry / SEAL, *entry.rglob("*"))):
        return False  # a pipe would be waited for
    try:
        seal = json.loads((entry / SEAL).read_text(encoding="ascii"))
        return isinstance(seal, dict) and seal.get("files") == _digests(entry)
    except (OSError, ValueError, RecursionError):
        return False


@contextlib.contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """Yield an empty folder in the cache, removed with all it holds when the block ends.

    Before, the folders of processes that were killed are removed.
    """
    parent = subfolder("scratch")
    # Under one lock, so that no folder is seen between being made and being locked.
    with FileLock(subfolder("locks") / "scratch.lock"):
        for left in parent.iterdir():
            if not _alive(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}.", dir=parent))
        holder = (folder / "lock").open("w")
        fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        (folder / "files").mkdir(mode=0o700)
        yield folder / "files"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        holder.close()


def _alive(folder: Path) -> bool:
    """Whether the process that made a scratch folder still holds it."""
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False

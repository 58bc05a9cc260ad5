# SPDX-License-Identifier: Apache-2.0
"""The atomic write of every file that a reader must find whole or not at all; digests of files."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any


class FileError(ValueError):
    """A path that no file can be written to; the message is one line."""


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``.<name>.part`` beside ``path`` and rename it over ``path``.

    What a killed process left there is written over. A link stays a link: the file behind it is
    replaced.

    Raises:
        FileError: ``path`` is a device, a pipe or a socket.
        OSError: it cannot be written.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileError(f"{path}: is no ordinary file, expected one; choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    with _open_locked(temporary) as file:
        try:
            file.truncate()
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a machine that stops may leave a name without content
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON as ``replace_file`` writes."""
    replace_file(path, (json.dumps(value, indent=2) + "\n").encode())


def _open_locked(path: Path) -> IO[bytes]:
    """Open a file, made if it is missing, that nobody else is writing any more."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        file = os.fdopen(descriptor, "r+b")
        fcntl.flock(file, fcntl.LOCK_EX)
        # Whoever held it before has renamed or removed it: then this is not the file at ``path``.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return file
        file.close()


def digest(path: Path) -> str:
    """SHA-256 over a file, or over names and contents of a folder's files."""
    state = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        state.update(os.fsencode(file.relative_to(path)) + b"\0")
        with file.open("rb") as stream:
            state.update(hashlib.file_digest(stream, "sha256").digest())
    return state.hexdigest()


def rewrite(file: Path, text: str, begin: str, end: str) -> None:
    """Put ``text`` between two markers of ``file``.

    Raises:
        ValueError: the file lacks a marker.
    """
    page = file.read_text(encoding="utf-8")
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"{file}: found no lines '{begin}' and '{end}', expected one of each")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    replace_file(file, f"{before}{begin}\n{text}\n{end}{after}".encode())

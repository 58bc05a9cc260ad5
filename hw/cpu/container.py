# SPDX-License-Identifier: Apache-2.0
"""The packed model as a file: a checksum, the header, the constants.

    offset  bytes
         0      8  "ANDPOP" and the version in two digits
         8     32  SHA-256 of everything behind it
        40      8  length of the header, little endian
        48         the header: one JSON object of ``plan`` and ``constants`` (name, dtype, shape)
                   the constants in the header's order, each behind zeros at a multiple of 64

Constants are little endian, each in the one order that the check of its step states: channels as
they are, without padding. No instruction set has a say in it, for the engine lays them out as the
kernel that it selects reads them. The same graph and card give the same bytes. The checksum finds
damage; it is no signature: whoever edits a file can compute it again, so a plan is checked as well.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from ...quant.files import replace_file
from .check import check
from .plan import MAX_TENSORS, SCHEMA, SUFFIX, ModelError, Name, Plan, explain

MAGIC = b"ANDPOP"
VERSION = 2

MAX_FILE_BYTES = 1 << 28
MAX_HEADER_BYTES = 1 << 22
MAX_CONSTANTS = 8 * MAX_TENSORS
"""Limits of a file that is still taken for a network."""

_PREFIX = 40
_START = _PREFIX + 8
_ALIGNMENT = 64

Constants = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Entry:
    """A constant in the header; its bytes follow those of the one before."""

    __pydantic_config__ = SCHEMA

    name: Name
    dtype: Annotated[str, StringConstraints(pattern="^(int8|uint8|int16|int32|int64|uint64)$")]
    shape: Annotated[list[Annotated[int, Field(ge=1, le=MAX_FILE_BYTES)]], Field(max_length=8)]


@dataclass(frozen=True)
class Header:
    """What the header of a file holds."""

    __pydantic_config__ = SCHEMA

    plan: Plan
    constants: Annotated[list[Entry], Field(max_length=MAX_CONSTANTS)]


_HEADER = TypeAdapter(Header)


def seal(header: bytes, constants: Constants) -> bytes:
    """Return the bytes of a file: the header as it is, the constants, and the checksum over both.

    Args:
        header: JSON, see ``Header``; not checked here.
        constants: the arrays in the header's order.
    """
    parts = [len(header).to_bytes(8, "little"), header]
    size = _START + len(header)
    for array in constants.values():
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        parts += [bytes(-size % _ALIGNMENT), data]
        size += -size % _ALIGNMENT + len(data)
    body = b"".join(parts)
    return MAGIC + b"%02d" % VERSION + hashlib.sha256(body).digest() + body


def encode(plan: Plan, constants: Constants) -> bytes:
    """Return the bytes of a plan with its constants.

    Raises:
        ModelError: the plan does not pass its checks, or is too large for a file.
    """
    check(plan, constants)
    entries = [Entry(n, a.dtype.name, list(a.shape)) for n, a in constants.items()]
    try:
        header = _HEADER.dump_json(Header(plan, entries), exclude_unset=True)
        _HEADER.validate_json(header)
    except ValidationError as error:
        raise ModelError(f"plan: {explain(error)}") from error
    data = seal(header, constants)
    for what, found, most in (
        ("plan and card", len(header), MAX_HEADER_BYTES),
        ("file", len(data), MAX_FILE_BYTES),
    ):
        if found > most:
            raise ModelError(f"its {what} would have {found} bytes, expected at most {most}")
    return data


def write(path: Path, plan: Plan, constants: Constants) -> None:
    """Write a packed model; an existing file is replaced whole or not at all.

    Raises:
        ModelError: as ``encode``.
        FileError: ``path`` is a device, a pipe or a socket.
        OSError: the folder cannot be written.
    """
    try:
        data = encode(plan, constants)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    replace_file(path, data)


def read(path: Path) -> tuple[Plan, dict[str, npt.NDArray[Any]]]:
    """Read a packed model and check it.

    Returns:
        The plan, and its constants as read-only views of the file's bytes.

    Raises:
        ModelError: the file is missing, damaged, of another kind or version, or inconsistent.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ModelError(f"{path}: found a pipe or a device, expected a {SUFFIX} file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        plan, constants = _decode(data)
        check(plan, constants)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return plan, constants


def _decode(data: bytes) -> tuple[Plan, dict[str, npt.NDArray[Any]]]:
    if len(data) > MAX_FILE_BYTES:
        raise ModelError(f"found more than {MAX_FILE_BYTES} bytes, expected at most so many")
    _check_version(data)
    digest = hashlib.sha256(memoryview(data)[_PREFIX:]).digest()
    if digest != data[8:_PREFIX]:
        raise ModelError(
            "its checksum does not fit its contents, so it is cut short or damaged; "
            "copy it again or pack the model again"
        )
    length = int.from_bytes(data[_PREFIX:_START], "little")
    if length > min(MAX_HEADER_BYTES, len(data) - _START):
        raise ModelError(
            f"found a header of {length} bytes in a file of {len(data)}, "
            f"expected at most {MAX_HEADER_BYTES}"
        )
    try:
        header = _HEADER.validate_json(data[_START : _START + length])
    except ValidationError as error:
        raise ModelError(
            f"its header is damaged: {explain(error)}, or another version of andpop wrote it; "
            "pack the model again with this one"
        ) from error
    return header.plan, _constants(data, _START + length, header.constants)


def _check_version(data: bytes) -> None:
    found = data[6:8]
    if data[:6] == MAGIC and len(found) == 2 and found.isdigit():
        version = int(found)
    elif data[8:9] == b"{" and b"andpop-packed" in data[:1024]:
        version = 1  # it was a safetensors file
    else:
        raise ModelError(
            f"not a packed model, expected a {SUFFIX} file written by andpop build; "
            "checkpoints and graphs are packed by andpop build"
        )
    if version != VERSION:
        raise ModelError(
            f"found packed version {version}, expected {VERSION}; "
            "pack the model again with this version of andpop"
        )


def _constants(data: bytes, end: int, entries: list[Entry]) -> dict[str, npt.NDArray[Any]]:
    """Return the constants where they lie in a file, whose header ends at ``end``."""
    constants: dict[str, npt.NDArray[Any]] = {}
    for entry in entries:
        if entry.name in constants:
            raise ModelError(f"constant {entry.name!r:.80} stands twice in its header")
        dtype = np.dtype(entry.dtype).newbyteorder("<")
        start = end + -end % _ALIGNMENT
        count = math.prod(entry.shape)
        if any(data[end:start]) or start + count * dtype.itemsize > len(data):
            raise ModelError(
                f"constant {entry.name!r:.80} of shape {entry.shape} does not lie in the file"
            )
        constants[entry.name] = np.frombuffer(data, dtype, count, start).reshape(entry.shape)
        end = start + count * dtype.itemsize
    if end != len(data):
        raise ModelError(f"found {len(data) - end} bytes behind its constants, expected none")
    return constants

# SPDX-License-Identifier: Apache-2.0
"""Tensors that an ONNX file keeps in another file beside it, as PyTorch's newer exporter does."""

from __future__ import annotations

import math
import stat
from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, helper

MAX_BYTES = 1 << 28
"""Most bytes of all such tensors of a model."""


def read_external(tensor: TensorProto, folder: Path, room: int = MAX_BYTES) -> int:
    """Bring a tensor's data into the model, if it lies outside.

    Only regular files in the model's own folder are read, and only as many bytes as the tensor's
    shape asks for: at most ``room``.

    Returns:
        Bytes read.

    Raises:
        ValueError: what the tensor does wrong, one line without its name: no plain file name, no
            such file, a file too short, another size than the shape's, or too large.
    """
    if tensor.data_location != TensorProto.EXTERNAL and not tensor.external_data:
        return 0
    said = {entry.key: entry.value for entry in tensor.external_data}
    name = said.get("location", "")
    if not name or Path(name).name != name or "\\" in name or "\0" in name:
        raise ValueError(
            f"holds external data in {name!r}, expected a file beside the model, by its name alone"
        )
    size = _bytes(tensor)
    start, length = _whole(said.get("offset", "0")), _whole(said.get("length", str(size)))
    if length != size or size > room:
        raise ValueError(
            f"holds {length} bytes of external data in {name}, expected the {size} of its shape, "
            f"and at most {room} more"
        )
    tensor.raw_data = _read(folder / name, start, size)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
    return size


def external_files(path: Path) -> list[Path]:
    """Return the files beside a model that it keeps tensors in; none where it is no model, or names
    no files there."""
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, OSError):
        return []
    named = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path.parent / name for name in sorted(named) if Path(name).name == name]


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ValueError(f"holds external data at {text!r}, expected a whole number of bytes")
    return int(text)


def _bytes(tensor: TensorProto) -> int:
    """Bytes of a tensor by its type and shape; whatever these are is checked by the loader."""
    try:
        item = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"has the unknown element type {tensor.data_type}") from error
    if any(dim < 0 for dim in tensor.dims):
        raise ValueError(f"has the shape {list(tensor.dims)}")
    return math.prod(tensor.dims) * item


def _read(path: Path, start: int, size: int) -> bytes:
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"holds external data in {path.name}, which is no regular file")
        if found.st_size < start + size:
            raise ValueError(
                f"holds external data in {path.name} at {start}..{start + size}, found a file of "
                f"{found.st_size} bytes; export the network again"
            )
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)
    except OSError as error:
        raise ValueError(
            f"holds external data in {path.name}, which cannot be read ({error.strerror}); it "
            "belongs beside the model"
        ) from error

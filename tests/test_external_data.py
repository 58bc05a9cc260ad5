# SPDX-License-Identifier: Apache-2.0
"""Weights in a file beside the model, as PyTorch's newer exporter writes them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.external_data import MAX_BYTES
from andpop.hw.graph.loader import ModelError, load
from foreign_graphs import plain, save
from onnx import TensorProto


def outside(folder: Path, name: str = "net.onnx.data") -> Path:
    """The plain network, its weights outside."""
    folder.mkdir(exist_ok=True)
    path = folder / "net.onnx"
    onnx.save(plain(), path, save_as_external_data=True, location=name, size_threshold=0)
    return path


@pytest.mark.parametrize("name", ["net.onnx.data", "weights.bin"])
def test_weights_beside_the_model_are_those_inside(name: str, tmp_path: Path) -> None:
    path = outside(tmp_path / "outside", name)
    assert (path.parent / name).stat().st_size > 500
    (tmp_path / "inside").mkdir()
    inside = load(save(plain(), tmp_path / "inside")).model
    found = load(path).model
    for mine, theirs in zip(found.graph.initializer, inside.graph.initializer, strict=True):
        assert mine.data_location == TensorProto.DEFAULT and not mine.external_data
        mine, theirs = onnx.numpy_helper.to_array(mine), onnx.numpy_helper.to_array(theirs)
        np.testing.assert_array_equal(mine, theirs)


def test_a_build_sees_that_the_weights_changed(tmp_path: Path) -> None:
    path, folder = outside(tmp_path / "net"), tmp_path / "build"

    def skipped() -> list[bool]:
        steps = api.build(path, folder, until="export")["steps"]
        return [step["skipped"] for step in steps][:1]

    assert [*skipped(), *skipped()] == [False, True]
    data = path.parent / "net.onnx.data"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(bytes(content))
    assert skipped() == [False]


def change(path: Path, **entries: str) -> None:
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = entries.get(entry.key, entry.value)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "/etc/passwd"}, "expected a file beside the model"),
        ({"location": "../net/net.onnx.data"}, "expected a file beside the model"),
        ({"location": "."}, "expected a file beside the model"),
        ({"location": "missing.bin"}, "which cannot be read"),
        ({"offset": "-4"}, "expected a whole number of bytes"),
        ({"offset": "9" * 30}, "expected a whole number of bytes"),
        ({"offset": "1000000"}, "found a file of"),
        ({"length": "3"}, "expected the"),
    ],
    ids=str,
)
def test_other_places_are_refused(entries: dict[str, str], message: str, tmp_path: Path) -> None:
    path = outside(tmp_path / "net")
    change(path, **entries)
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    path = outside(tmp_path / "net")
    data = path.parent / "net.onnx.data"
    moved = data.rename(tmp_path / "elsewhere")
    data.symlink_to(moved)
    with pytest.raises(ModelError, match="no regular file"):
        load(path)
    data.unlink()
    os.mkfifo(data)
    with pytest.raises(ModelError, match="no regular file"):
        load(path)


def test_the_size_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    path = outside(tmp_path / "net")
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[0]
    tensor.dims[:] = [MAX_BYTES]
    for entry in tensor.external_data:
        entry.value = str(4 * MAX_BYTES) if entry.key == "length" else entry.value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=f"at most {MAX_BYTES} more"):
        load(path)

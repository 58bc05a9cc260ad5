# SPDX-License-Identifier: Apache-2.0
"""Names of the classes of somebody else's network: given when it is built, told by what runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows import api
from andpop.flows.errors import BAD_INPUT
from andpop.flows.models import load
from andpop.hw.cpu.engine import Engine
from foreign_graphs import Net, first, head, plain, save
from packed_files import ZOO, Arrays, Header, resealed
from PIL import Image
from program import Run

NAMES = ("crack", "dent", "fine", "scratch", "rust stain")


def named(folder: Path, text: str | bytes = "\n".join(NAMES) + "\n\n") -> Path:
    path = folder / "names.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def data_set(folder: Path, *names: str) -> Path:
    rng = np.random.default_rng(1)
    for name in names:
        (folder / name).mkdir(parents=True)
        for index in range(2):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def test_a_build_tells_its_classes(tmp_path: Path) -> None:
    names, data = named(tmp_path), data_set(tmp_path / "data", "dent", "rust stain")
    build = tmp_path / "build"
    api.build(save(plain(), tmp_path), build, classes=str(names), until="pack")
    assert load(build).classes == NAMES
    assert {row["class"] for row in api.infer(build, data / "dent")["predictions"]} <= set(NAMES)
    found = api.evaluate(build, data)
    assert found["n"] == 4
    assert set(found["per_class"]) == {"dent", "rust stain"}
    # Another file under the same name is another model; nothing else is done again.
    names.write_text("\n".join(reversed(NAMES)))
    rows = api.build(save(plain(), tmp_path), build, classes=str(names), until="pack")["steps"]
    assert [row["step"] for row in rows if not row["skipped"]] == ["pack"]
    assert load(build).classes == NAMES[::-1]
    rows = api.build(save(plain(), tmp_path), build, until="pack")["steps"]
    assert load(build).classes == tuple("01234")


def test_a_packed_model_without_names_is_as_before(tmp_path: Path) -> None:
    api.build(save(plain(), tmp_path), tmp_path / "build", until="pack")
    packed = tmp_path / "build" / "model.andpop"
    for field in (b"classes", b"function", b"best", b"factors", b"offsets"):
        assert b'"%b"' % field not in packed.read_bytes()
    assert Engine.load(packed).classes == tuple("01234")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\nb\nc\n", "found 3 class names, expected 5 as the network finds"),
        ("a\nb\n\nc\nd\n", "line 3 is empty"),
        ("a\nb\nc\nd\na\n", "found 'a' twice"),
        ("a\nb\nc\nd\n\x1b[2J\n", "control characters"),
        ("a\nb\nc\nd\n" + "e" * 2000, "line 5"),
        ("a", "at least 2"),
        ("", "at least 2"),
        (b"a\nb\nc\nd\n\xff\n", "no UTF-8 text"),
        ("a\n" * (1 << 20), "more than 1,048,576 bytes"),
    ],
)
def test_wrong_names_are_refused(text: str | bytes, words: str, tmp_path: Path, run: Run) -> None:
    names, file = named(tmp_path, text), save(plain(), tmp_path)
    code, _, said = run(
        "build", file, "--out", tmp_path / "build", "--classes", names, "--until", "pack"
    )
    assert code == BAD_INPUT
    assert said.count("\n") <= 4
    flat = " ".join(said.split())
    assert words in flat
    assert "names.txt" in flat
    assert not (tmp_path / "build").exists()


def test_names_are_of_networks_that_find_classes(tmp_path: Path, run: Run) -> None:
    names = named(tmp_path)
    build = ("--out", tmp_path / "build", "--classes", names, "--until", "pack")
    code, _, said = run("build", ZOO.with_suffix(".safetensors"), *build)
    assert code == BAD_INPUT
    assert "by its card" in " ".join(said.split())
    net = Net()
    net.op("Sigmoid", [head(net, first(net), 4)])
    code, _, said = run("build", save(net.model([1, 5]), tmp_path), *build)
    assert code == BAD_INPUT
    assert "the network finds no classes" in " ".join(said.split())


def test_an_unknown_folder_says_how_to_name_classes(tmp_path: Path, run: Run) -> None:
    api.build(save(plain(), tmp_path), tmp_path / "build", until="pack")
    code, _, said = run("eval", tmp_path / "build", "--data", data_set(tmp_path / "d", "a", "b"))
    assert code == BAD_INPUT
    assert "andpop build --classes" in " ".join(said.split())


def names_change(value: Any, card: bool = False) -> Callable[[Header, Arrays], None]:
    def change(header: Header, arrays: Arrays) -> None:
        header["plan"]["classes"] = value
        if not card:
            header["plan"]["card"] = None

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (names_change(list("abcdef"), card=True), "beside a card"),
        (names_change(list("abcde")), "found 5 class names, expected 6"),
        (names_change(list("abcdee")), "twice"),
        (names_change([*"abcde", "\x07"]), "control characters"),
        (names_change("abcdef"), "plan.classes"),
    ],
)
def test_damaged_names_are_refused(
    change: Callable[[Header, Arrays], None], words: str, tmp_path: Path
) -> None:
    file = resealed(ZOO, tmp_path / "x.andpop", change)
    with pytest.raises(ValueError, match=words):
        Engine.load(file)

# SPDX-License-Identifier: Apache-2.0
"""Cards of packed models: damaged ones, names as they are, another card beside the file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows import api
from andpop.flows.cli import terminal
from andpop.flows.cli.commands import demo
from andpop.flows.errors import BAD_INPUT, OK
from andpop.flows.models import load, load_cpu_model
from andpop.flows.pictures import read_all
from packed_files import ZOO, Arrays, Header, plan_change, resealed, sealed, tensor_change
from packed_files import single as single_step
from PIL import Image


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.arange(40 * 56, dtype=np.uint8).reshape(40, 56)).save(path)
    return path


def card_change(**values: Any) -> Callable[[Header, Arrays], None]:
    """A change of the card inside."""

    def change(header: Header, arrays: Arrays) -> None:
        for name, value in values.items():
            if value is None:
                del header["plan"]["card"][name]
            else:
                header["plan"]["card"][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (card_change(classes=["a"]), "plan.card.classes"),
        (card_change(classes=["a", "b"]), "found 2 class names, expected 6"),
        (card_change(classes=[f"c{i}" for i in range(7)]), "found 7 class names, expected 6"),
        (card_change(classes=5), "plan.card.classes"),
        (card_change(classes="abcdef"), "plan.card.classes"),
        (card_change(classes=[1, 2, 3, 4, 5, 6]), "plan.card.classes"),
        (card_change(classes=["a", "b", "c", "d", "e", "a"]), "twice"),
        (card_change(classes=["a", "b", "c", "d", "e", ""]), "plan.card.classes"),
        (card_change(classes=["a", "b", "c", "d", "e", "f\n"]), "control characters"),
        (card_change(classes=["a", "b", "c", "d", "e", "\x1b[2J"]), "control characters"),
        (card_change(classes=["a", "b", "c", "d", "e", "f" * 2000]), "plan.card.classes"),
        (card_change(resize="x"), "plan.card.resize"),
        (card_change(resize=["bilinear"]), "plan.card.resize"),
        (card_change(network=None), "plan.card.network"),
        (card_change(network=["bi-shufflenet"]), "plan.card.network"),
        (card_change(input={"height": 128, "width": 128, "channels": 3}), "of 3 channels"),
        (card_change(input={"height": 128, "width": 128, "channels": 2}), "plan.card.input"),
        (card_change(checkpoint_sha256="0"), "plan.card.checkpoint_sha256"),
        (card_change(config=[]), "plan.card.config"),
        (card_change(accuracy=2.0), "plan.card.accuracy"),
        (card_change(surprise=1), "plan.card.surprise"),
        (plan_change(card={}), "plan.card.network"),
        (plan_change(card=[]), "plan.card"),
        (tensor_change(0, shape=[128, 128, 1, 1]), None),
    ],
    ids=range(24),
)
def test_damaged_cards_and_shapes_are_refused(
    run: Any, tmp_path: Path, picture: Path, change: Any, words: str | None
) -> None:
    bad = resealed(ZOO, tmp_path / "bad.andpop", change)
    code, out, err = run("infer", bad, "--images", picture)
    assert (code, out) == (BAD_INPUT, "")
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert (words or "expected") in err


@pytest.mark.parametrize("network", ["u-binet", "bi-shufflenet"])
@pytest.mark.parametrize("command", ["infer", "eval"])
def test_a_card_of_a_network_with_other_heads_is_refused(
    network: str, command: str, tmp_path: Path, picture: Path, run: Any
) -> None:
    """It says masks of a network that finds a class, or a class of one that gives raw integers."""

    def change(header: Header, arrays: Arrays) -> None:
        header["plan"]["card"]["network"] = network
        if network == "bi-shufflenet":
            header["plan"]["outputs"][0].update(kind="raw", logits=None)

    path = resealed(ZOO, tmp_path / "net.andpop", change)
    option = "--data" if command == "eval" else "--images"
    code, _, err = run(command, path, option, picture.parent)
    assert code == BAD_INPUT
    assert "found heads of the kinds" in err and f"card names {network}" in err


def test_inputs_that_are_no_pictures_are_refused(tmp_path: Path, picture: Path, run: Any) -> None:
    header, arrays = single_step("argmax", [([2, 3], "INT8", "i32")], [([2, 1], "i32")])
    header["plan"]["tensors"][0].update(datatype="UINT8")
    path = sealed(tmp_path, header, arrays)
    code, _, err = run("infer", path, "--images", picture)
    assert code == BAD_INPUT and len(err.splitlines()) == 1 and "expected" in err
    header, arrays = single_step("argmax", [([4, 4, 2], "UINT8", "i32")], [([4, 4, 1], "i32")])
    path = sealed(tmp_path, header, arrays)
    code, _, err = run("infer", path, "--images", picture)
    assert code == BAD_INPUT and "takes 2 channels, expected 1 (grey) or 3 (RGB)" in err
    assert load(path).masks(np.ones((1, 4, 4, 2), np.uint8)).shape == (1, 4, 4)


@pytest.mark.parametrize("name", ["[/x]", "[red]b", "[bold]", ":bug:", "100 %", "a\\[b]", "[[c]]"])
def test_class_names_are_printed_as_they_are(
    tmp_path: Path, picture: Path, run: Any, name: str
) -> None:
    path = tmp_path / "net.andpop"
    names = [f"{name}{i}" for i in range(6)]
    code, out, _ = run(
        "infer", resealed(ZOO, path, card_change(classes=names)), "--images", picture
    )
    model = load(path)
    (label,), _ = model.run(read_all([picture], model, lambda *_: None).pixels)
    assert code == OK
    assert out.rstrip("\n").endswith(f" {names[label]}")


def test_class_names_of_eval_are_printed_as_they_are(
    tmp_path: Path, picture: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["[red]b", "[bold]", ":bug:", "d", "e", "f"]
    path = resealed(ZOO, tmp_path / "net.andpop", card_change(classes=names))
    for name in names[:3]:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        Image.open(picture).save(folder / "a.png")
    code, out, _ = run("eval", path, "--data", tmp_path / "data")
    assert code == OK
    for name in names[:3]:
        assert f" {name} " in out


def test_progress_titles_and_demo_print_names_as_they_are(capsys: Any) -> None:
    terminal.table("[bold]title", ["[red]class", "n"], [["[/x]", 3]])
    demo.show(
        {
            "backends": [], "first_divergence": None, "notes": ["[/note]"],
            "predictions": [{"picture": "img[front].png", "class": ":bug: [red]"}],
            "simulation": {"cycles_per_frame": 1, "interval": 1, "sim_cycles_per_second": 1.0},
        },
        Path("[demo]"),
    )  # fmt: skip
    captured = capsys.readouterr()
    for words in ("[bold]title", "[red]class", "[/x]", "img[front].png: :bug: [red]", "[demo]"):
        assert words in captured.out
    assert "[/note]" in captured.err


# A card beside


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A packed model with the checkpoint and the card it was made from."""
    for suffix in (".andpop", ".json", ".safetensors"):
        source = ZOO.with_suffix(suffix)
        (tmp_path / f"net{suffix}").write_bytes(source.read_bytes())
    return tmp_path / "net.andpop"


def edit(path: Path, **values: Any) -> None:
    """Edit a card by hand."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=1))


def test_an_equal_card_beside_a_packed_model_is_no_matter(
    run: Any, model: Path, picture: Path
) -> None:
    edit(model.with_suffix(".json"))
    for path in (model, model.with_suffix(".safetensors")):
        assert load(path).notes == ()
        assert run("infer", path, "--images", picture)[0] == OK


@pytest.mark.parametrize(
    "values",
    [{"classes": list("abcdef")}, {"resize": "nearest"}, {"config": {}}],
    ids=lambda v: next(iter(v)),
)
def test_an_edited_card_that_decides_answers_is_refused(
    run: Any, model: Path, picture: Path, values: dict[str, Any]
) -> None:
    edit(model.with_suffix(".json"), **values)
    code, out, err = run("infer", model, "--images", picture)
    assert (code, out) == (BAD_INPUT, "")
    assert len(err.splitlines()) == 1
    assert f"net.json: found other {next(iter(values))} than in net.andpop" in err
    assert "andpop build" in err


def test_an_edited_card_that_describes_is_said(run: Any, model: Path, picture: Path) -> None:
    edit(model.with_suffix(".json"), accuracy=0.5, data="elsewhere")
    code, _, err = run("infer", model, "--images", picture)
    assert code == OK
    assert "net.json says other data, accuracy than net.andpop, which is not changed" in err
    code, out, _ = run("eval", model, "--data", picture.parent / "none")
    assert code == BAD_INPUT and out == ""


def test_the_card_of_another_network_is_refused(run: Any, model: Path, picture: Path) -> None:
    other = (api.ZOO / "u-binet-k4-mt.json").read_text()
    model.with_suffix(".json").write_text(other)
    code, _, err = run("infer", model, "--images", picture)
    assert code == BAD_INPUT and "found other network, config" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{", OK, "cannot be read as a card"),
        ("\x00", OK, "cannot be read as a card"),
        ('{"speed": 3}', OK, "is no card and is not used"),
        ("[1, 2]", OK, "is no card and is not used"),
        ('{"network": "bi-shufflenet"}', BAD_INPUT, "answers by the card inside it"),
    ],
)
def test_other_files_beside_are_said(
    run: Any, model: Path, picture: Path, text: str, code: int, words: str
) -> None:
    model.with_suffix(".json").write_text(text)
    found, _, err = run("infer", model, "--images", picture)
    assert found == code and words in err


def test_a_card_beside_a_model_packed_without_one_is_said(
    run: Any, model: Path, picture: Path
) -> None:
    resealed(ZOO, model, plan_change(card=None))
    code, out, err = run("infer", model, "--images", picture)
    assert code == OK and "was packed without a card" in err
    assert out.split()[-1] in "012345"


@pytest.mark.parametrize("name", ["checkpoint.json", "model.json"])
def test_an_edited_card_in_a_build_folder_is_noticed(
    run: Any, model: Path, picture: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "model.andpop").write_bytes(model.read_bytes())
    for suffix in (".json", ".safetensors"):
        (folder / f"checkpoint{suffix}").write_bytes(model.with_suffix(suffix).read_bytes())
    for file in ("build.json", "dataflow.onnx"):
        (folder / file).write_text("{}")
    assert run("infer", folder, "--images", picture)[0] == OK
    (folder / "model.json").write_bytes(model.with_suffix(".json").read_bytes())
    assert run("infer", folder, "--images", picture)[0] == OK
    edit(folder / name, classes=list("abcdef"))
    for path in (folder, folder / "model.andpop"):
        code, _, err = run("infer", path, "--images", picture)
        assert code == BAD_INPUT
        assert f"{name}: found other classes than in model.andpop" in err
    with pytest.raises(ValueError, match="found other classes"):
        load_cpu_model(folder / "model.andpop")


def test_a_checkpoint_is_packed_by_its_own_card(
    model: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packed model beside is not used when its card is another one, or when it is damaged."""
    from andpop.flows import compile as compiler

    packed: list[Path] = []

    def compile_checkpoint(checkpoint: Path, target: Path) -> None:
        packed.append(checkpoint)
        target.write_bytes(ZOO.read_bytes())

    monkeypatch.setattr(compiler, "compile_checkpoint", compile_checkpoint)
    checkpoint = model.with_suffix(".safetensors")
    assert load(checkpoint).notes == () and not packed
    edit(model.with_suffix(".json"), classes=list("abcdef"))
    (note,) = load(checkpoint).notes
    assert "it was packed with another card (classes)" in note and packed == [checkpoint]
    load(checkpoint)
    assert packed == [checkpoint]  # found in the cache
    (cached,) = empty_cache.rglob("*.andpop")
    cached.write_bytes(b"ANDPOP02" + bytes(100))
    load(checkpoint)
    assert len(packed) == 2  # damaged in the cache
    model.write_bytes(model.read_bytes()[:-1])
    assert "it cannot be read (its checksum" in load(checkpoint).notes[0]
    model.write_bytes((api.ZOO / "pa-resnet-small-m8n7-neu.andpop").read_bytes())
    assert "it was packed from another checkpoint" in load(checkpoint).notes[0]


def test_what_packing_lacks_comes_with_the_reason(
    run: Any, model: Path, picture: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "finn", None)
    edit(model.with_suffix(".json"), classes=list("abcdef"))
    code, _, err = run("infer", model.with_suffix(".safetensors"), "--images", picture)
    assert code == 3
    assert "was packed with another card (classes)" in err and "andpop[hw]" in err

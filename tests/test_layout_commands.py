# SPDX-License-Identifier: Apache-2.0
"""Layouts and commands: what is a picture and what a mask is the same answer everywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows import api, backends
from andpop.flows.errors import BAD_INPUT, OK
from andpop.quant.tasks.task import Output, Outputs
from PIL import Image
from program import Run
from test_layouts import REFUSED, SETS, Make, put
from test_mask_commands import save

CLASSIFIER = api.DEMO_CHECKPOINT.with_suffix(".andpop")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of masks, built without RTL."""
    checkpoint = save(tmp_path_factory.mktemp("checkpoint") / "masks.safetensors")
    folder = tmp_path_factory.mktemp("build") / "build"
    api.build(checkpoint, folder, until="pack")
    return folder


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Names of the pictures handed to the simulation, which itself is left out."""
    given: list[list[str]] = []

    def record(
        files: object, pictures: np.ndarray, names: list[str], *_: object
    ) -> tuple[dict[str, Any], Outputs]:
        given.append(names)
        result: dict[str, Any] = {"images": len(names), "layers": [], "first_divergence": None}
        result |= dict.fromkeys(("values_compared", "cycles_per_frame", "interval"), 1)
        result |= {"values_differing": 0, "sim_cycles_per_second": 1.0, "build_seconds": 1.0}
        masks = np.zeros(pictures.shape[:3], dtype=np.int64)
        return result, {"mask": Output("class_map", masks)}

    monkeypatch.setattr(backends, "simulate", record)
    return given


@pytest.mark.parametrize("name", SETS)
def test_three_pictures_are_three_for_every_command(
    run: Run, build: Path, simulated: list[list[str]], tmp_path: Path, name: str
) -> None:
    SETS[name][0](tmp_path)
    for path in list(tmp_path.rglob("*.*")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
    put(tmp_path / "__MACOSX/a.png")
    for model in (CLASSIFIER, build):
        code, text, _ = run("infer", model, "--images", tmp_path, "--json")
        result = json.loads(text)
        assert code == OK and len(result["predictions"]) == 3
        masks = [note for note in result["notes"] if "files are masks of pictures" in note]
        assert len(masks) == 1
    arguments = ("--images", tmp_path, "--json")
    code, text, _ = run("compare", build, *arguments, "--backends", "golden,cpu")
    assert code == OK and json.loads(text)["backends"][0]["pictures"] == 3
    assert masks[0] in json.loads(text)["notes"]
    code, text, _ = run("simulate", build, *arguments)
    assert code == OK and [len(names) for names in simulated] == [3]
    assert masks[0] in json.loads(text)["notes"]
    code, text, _ = run("eval", build, "--data", tmp_path, "--json")
    assert code == OK and json.loads(text)["n"] == 3


@pytest.mark.parametrize("command", ["infer", "compare", "simulate"])
def test_masks_alone_are_refused(
    run: Run, build: Path, simulated: list[list[str]], tmp_path: Path, command: str
) -> None:
    SETS["sd-saliency-900"][0](tmp_path)
    code, _, err = run(command, build, "--images", tmp_path / "Ground truth")
    assert code == BAD_INPUT and not simulated
    assert err.startswith(f"andpop: {tmp_path}/Ground truth: found masks alone")


def train(run: Run, data: Path, out: Path, *more: object) -> tuple[int, str, str]:
    options = ("--input", "16x16x1", "--width", 0.25, "--epochs", 1, "--finetune-epochs", 0)
    arguments = ("--data", data, "--out", out / "net.safetensors", "--batch", 2, "--json")
    return run("train", "bi-shufflenet", *arguments, *options, *more)


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=lambda v: getattr(v, "__name__", ""))
def test_what_names_no_class_is_not_trained_on(
    run: Run, tmp_path: Path, make: Make, message: str
) -> None:
    make(tmp_path / "data")
    for answer in (
        train(run, tmp_path / "data", tmp_path / "out"),
        run("eval", CLASSIFIER, "--data", tmp_path / "data"),
    ):
        code, _, err = answer
        assert code == BAD_INPUT
        assert len(err.splitlines()) == 1 and err.startswith("andpop: ")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def voc(root: Path) -> None:
    for n in (1, 2, 3):
        put(root / f"images/crack_{n}.jpg")
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/crack_{n}.xml").write_text("<annotation/>")


def one_folder(root: Path) -> None:
    for n in (1, 2, 3):
        put(root / f"good/{n}.png")


@pytest.mark.parametrize(("make", "kind"), [(voc, "crack"), (one_folder, "good")])
def test_one_class_is_not_trained_on(run: Run, tmp_path: Path, make: Make, kind: str) -> None:
    make(tmp_path / "data")
    code, _, err = train(run, tmp_path / "data", tmp_path / "out")
    assert code == BAD_INPUT
    assert f"found pictures of class {kind} alone" in err and len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_damaged_box_file_does_not_stop_a_classifier(run: Run, tmp_path: Path) -> None:
    for n in range(4):
        for kind in ("crack", "good"):
            put(tmp_path / f"data/images/{kind}_{n}.jpg", 100 + n)
    (tmp_path / "data/annotations").mkdir()
    (tmp_path / "data/annotations/crack_1.xml").write_text("<annotation><object>")
    code, text, err = train(run, tmp_path / "data", tmp_path / "out")
    assert code == OK, err
    assert json.loads(text)["card"]["classes"] == ["crack", "good"]


def test_names_that_are_not_utf8_are_trained_on_but_for_classes(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data\udcff\n"
    for n in range(4):
        for kind in ("crack", "good\n"):
            put(data / kind / f"{n}.png", 100 + n)
            (data / kind / f"{n}.png").rename(data / kind / f"{n}\udcfe.png")
    code, text, err = train(run, data, tmp_path / "out")
    assert code == OK, err
    card = json.loads(text)["card"]
    assert card["data"].startswith(r"data\xff\n (folders), ")
    assert card["classes"] == ["crack", "good\n"]
    (data / "crack").rename(data / "crack\udcff")
    code, _, err = train(run, data, tmp_path / "other")
    assert code == BAD_INPUT
    assert r"found a class named crack\xff, expected a name in UTF-8" in err


def test_an_orientation_is_said_by_every_command(run: Run, build: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    exif = Image.Exif()
    exif[0x0112] = 6
    for n in range(3):
        for kind in ("Crack", "Free"):
            put(data / f"MT_{kind}/Imgs/{n}.jpg", 100 + n)
            mask = np.zeros((10, 12), dtype=np.uint8)  # upright, as its picture is seen
            mask[2:5, 3:8] = 255 * (kind == "Crack")
            put(data / f"MT_{kind}/Imgs/{n}.png", mask.T)
    turned = put(data / "MT_Crack/Imgs/9.jpg")
    with Image.open(turned) as image:
        image.save(turned, exif=exif)
    put(turned.with_suffix(".png"), mask + np.uint8(255))
    said = "pictures turned upright as their orientation tag says, e.g. 9.jpg"
    for answer in (
        run("infer", build, "--images", data, "--json"),
        run("infer", CLASSIFIER, "--images", data, "--json"),
        run("compare", build, "--images", data, "--backends", "golden,cpu", "--json"),
        run("eval", build, "--data", data, "--json"),
        train(run, data, tmp_path / "out"),
    ):
        code, text, err = answer
        assert code == OK, err
        assert [note for note in json.loads(text)["notes"] if note == f"1 of 7 {said}"]
    shutil.copy(turned, tmp_path / "9.jpg")
    code, text, _ = run("infer", build, "--images", tmp_path / "9.jpg", "--out", tmp_path / "masks")
    with Image.open(tmp_path / "masks/9.mask.png") as image:
        assert code == OK and image.size == (12, 10)


def test_a_link_that_leads_to_itself_is_no_folder_for_masks(
    run: Run, build: Path, tmp_path: Path
) -> None:
    put(tmp_path / "data/a.png")
    (tmp_path / "out").symlink_to(tmp_path / "out")
    code, _, err = run("infer", build, "--images", tmp_path / "data", "--out", tmp_path / "out")
    assert code == BAD_INPUT and len(err.splitlines()) == 1
    assert "a link that leads to itself" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--lr", "nan"), ("--lr", "inf"), ("--real-lr", "-1"), ("--epochs", "9" * 5000),
        ("--epochs", 10**9), ("--jitter", "nan"), ("--label-smoothing", "nan"),
        ("--validation", "nan"), ("--validation", "inf"), ("--seed", -1), ("--seed", 2**70),
        ("--threads", 10**9), ("--threads", 0), ("--device", "nonsense"), ("--width", "nan"),
        ("--input", "0x0x0"), ("--input", "1e9x1x1"), ("--left", "9" * 5000),
        ("--batch", 10**9),
    ],
    ids=lambda pair: " ".join(map(str, pair))[:30],
)  # fmt: skip
def test_numbers_of_training_are_bounded(
    run: Run, tmp_path: Path, arguments: tuple[object, object]
) -> None:
    for n in range(4):
        for kind in ("crack", "good"):
            put(tmp_path / f"data/{kind}/{n}.png", 100 + n)
    code, _, err = train(run, tmp_path / "data", tmp_path / "out", *arguments)
    assert code == BAD_INPUT
    assert len(err.splitlines()) == 1 and err.startswith("andpop: ") and len(err) < 300
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("infer", CLASSIFIER, "--images", "x", "--threads", "9" * 5000),
        ("infer", CLASSIFIER, "--images", "x", "--threads", 10**9),
        ("eval", CLASSIFIER, "--data", "x", "--threads", 0),
        ("compare", "x", "--images", "x", "--count", 0),
        ("simulate", "x", "--images", "x", "--count", "9" * 5000),
        ("demo", "--size", 10**9),
        ("demo", "--count", 10**9),
        ("count", "bi-shufflenet", "--input", "64x64x1", "--classes", "9" * 5000),
        ("count", "bi-shufflenet", "--input", "100000x1x1"),
        ("synth", "--kernel", "xnor-dot", "--width", "9" * 5000),
        ("build", api.DEMO_CHECKPOINT, "--out", "b", "--board", "nonsense"),
        ("build", api.DEMO_CHECKPOINT, "--out", "b", "--clock-mhz", "inf"),
        ("build", api.DEMO_CHECKPOINT, "--out", "b", "--target-fps", "1e-320"),
        ("build", api.DEMO_CHECKPOINT, "--out", "b", "--target-cycles", "9" * 5000),
        ("build", api.DEMO_CHECKPOINT, "--out", "b", "--folding", "/absent.json"),
    ],
    ids=lambda words: " ".join(str(w)[-20:] for w in words),
)
def test_numbers_of_every_command_are_bounded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments)
    assert code == BAD_INPUT
    assert len(err.splitlines()) == 1 and err.startswith("andpop: ") and len(err) < 300
    assert not list(tmp_path.iterdir())

# SPDX-License-Identifier: Apache-2.0
"""Training on synthetic pictures: repeatable and resumable bit by bit, honest about accuracy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from andpop.models.build import build
from andpop.quant.samples.found import find_samples
from andpop.quant.synthetic import CLASSES, generate
from andpop.quant.tasks.classification import PictureLessons, Result, prepare
from andpop.quant.training.recipe import RANGES, OptionError, Options, Progress
from andpop.quant.training.run import evaluate, predict, train
from andpop.quant.training.state import TrainingError
from PIL import Image
from torch import Tensor, nn

OPTIONS = Options(
    real_epochs=2, epochs=2, finetune_epochs=2, warmup_epochs=1, batch=16, threads=1, seed=5
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PictureLessons:
    folder = tmp_path_factory.mktemp("synthetic")
    generate(folder, per_class=10, size=48, seed=1)
    return prepare(find_samples(folder), 32, 32, 1, validation=0.2, seed=2)


def network() -> nn.Module:
    torch.manual_seed(3)
    return build("bi-shufflenet", {"width": 0.25})


class Interrupted(Exception):
    """Stands for Ctrl-C or a power cut between two epochs."""


def stop_after(epoch: int) -> Callable[[Progress], None]:
    def stop(state: Progress) -> None:
        if state.epoch == epoch:
            raise Interrupted

    return stop


def timeless(result: Result) -> Result:
    return replace(result, history=[replace(p, seconds=0.0) for p in result.history])


@pytest.fixture(scope="module")
def whole(
    data: PictureLessons, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Tensor], Result, Path]:
    checkpoint = tmp_path_factory.mktemp("whole") / "steel.safetensors"
    net = network()
    result = train(net, data, OPTIONS, checkpoint)
    return net.state_dict(), result, checkpoint


@pytest.mark.parametrize("epochs", [(1,), (2, 5), (6,)])
def test_resumed_run_equals_an_uninterrupted_one(
    data: PictureLessons,
    whole: tuple[dict[str, Tensor], Result, Path],
    tmp_path: Path,
    epochs: tuple[int, ...],
) -> None:
    checkpoint = tmp_path / "steel.safetensors"
    for epoch in epochs:
        with pytest.raises(Interrupted):
            train(network(), data, OPTIONS, checkpoint, stop_after(epoch))
    net = network()
    result = train(net, data, OPTIONS, checkpoint)
    assert timeless(result) == timeless(whole[1])
    state = net.state_dict()
    assert state.keys() == whole[0].keys()
    assert all(torch.equal(state[name], value) for name, value in whole[0].items())


def test_a_failed_save_loses_no_training(
    data: PictureLessons, whole: tuple[dict[str, Tensor], Result, Path], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "steel.safetensors"

    def full(_: Result) -> None:
        raise OSError("no space left on device")

    def unexpected(_: Progress) -> None:
        pytest.fail("an epoch was run again")

    with pytest.raises(OSError, match="no space left"):
        train(network(), data, OPTIONS, checkpoint, save=full)
    saved: list[Result] = []
    net = network()
    train(net, data, OPTIONS, checkpoint, unexpected, saved.append)
    assert timeless(saved[0]) == timeless(whole[1])
    assert all(torch.equal(net.state_dict()[name], value) for name, value in whole[0].items())
    assert not checkpoint.with_suffix(".state.safetensors").exists()


def test_phases_come_in_the_order_of_the_recipe(
    whole: tuple[dict[str, Tensor], Result, Path],
) -> None:
    history = whole[1].history
    assert [p.phase for p in history] == (
        ["real values"] * 2 + ["batch statistics"] * 2 + ["fixed statistics"] * 2
    )
    assert [p.epoch for p in history] == [1, 2, 3, 4, 5, 6]
    assert {p.epochs for p in history} == {6}


def test_files_beside_the_checkpoint(whole: tuple[dict[str, Tensor], Result, Path]) -> None:
    _, result, checkpoint = whole
    assert sorted(p.name for p in checkpoint.parent.iterdir()) == [
        "steel.curve.png",
        "steel.metrics.json",
    ]
    metrics = json.loads(checkpoint.with_suffix(".metrics.json").read_text())
    assert metrics["accuracy"] == result.correct / 12
    assert (metrics["n"], metrics["training_pictures"]) == (12, 48)
    assert sum(map(sum, metrics["confusion"])) == 12
    assert len(metrics["wrong"]) == 12 - result.correct
    assert [h["loss"] for h in metrics["history"]] == [p.loss for p in result.history]
    curve = checkpoint.with_suffix(".curve.png")
    assert Image.open(curve).format == "PNG"
    assert curve.stat().st_size < 200 * 1024


def test_reported_accuracy_is_the_frozen_networks(
    data: PictureLessons, whole: tuple[dict[str, Tensor], Result, Path]
) -> None:
    net = network()
    net.freeze()
    net.load_state_dict(whole[0])
    found = predict(net, data.val_pictures)
    assert int((found == np.array(data.val_labels)).sum()) == whole[1].correct
    assert evaluate(net, data, []).confusion == whole[1].confusion


def test_validation_pictures_are_never_trained_on(data: PictureLessons) -> None:
    assert len(data.train_pictures) == 48
    assert data.val_pictures.shape == (12, 32, 32, 1)
    assert data.classes == CLASSES
    assert np.bincount(data.val_labels).tolist() == [2] * 6
    assert np.bincount(data.train_labels).tolist() == [8] * 6


def test_learns(tmp_path: Path) -> None:
    """Dark and bright surfaces, a task for 30 steps of a small network."""
    rng = np.random.default_rng(0)
    for name, grey in (("bright", 180), ("dark", 80)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for n in range(25):
            pixels = np.clip(rng.normal(grey, 15, (32, 32)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{n}.png")
    data = prepare(find_samples(tmp_path / "data"), 32, 32, 1, validation=0.2)
    torch.manual_seed(3)
    net = build("bi-shufflenet", {"width": 0.25, "classes": 2})
    options = Options(epochs=6, finetune_epochs=2, batch=8, threads=1)
    result = train(net, data, options, tmp_path / "steel.safetensors")
    assert result.accuracy >= 0.9
    assert result.history[-1].loss < 0.7 * result.history[0].loss


def test_another_seed_gives_another_network(
    data: PictureLessons, whole: tuple[dict[str, Tensor], Result, Path], tmp_path: Path
) -> None:
    net = network()
    train(net, data, replace(OPTIONS, seed=6), tmp_path / "steel.safetensors")
    state = net.state_dict()
    assert any(not torch.equal(state[name], value) for name, value in whole[0].items())


def test_refuses_the_state_of_another_run(data: PictureLessons, tmp_path: Path) -> None:
    checkpoint = tmp_path / "steel.safetensors"
    with pytest.raises(Interrupted):
        train(network(), data, OPTIONS, checkpoint, stop_after(1))
    before = checkpoint.with_suffix(".state.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="belongs to a run with other options; delete it"):
        train(network(), data, replace(OPTIONS, batch=8), checkpoint)
    assert checkpoint.with_suffix(".state.safetensors").read_bytes() == before


def test_refuses_a_damaged_state(data: PictureLessons, tmp_path: Path) -> None:
    state = tmp_path / "steel.state.safetensors"
    for content in (b"", b"\xff" * 100):
        state.write_bytes(content)
        with pytest.raises(TrainingError, match="cannot be read .*; delete it"):
            train(network(), data, OPTIONS, tmp_path / "steel.safetensors")


def test_stops_when_the_loss_is_no_number(data: PictureLessons, tmp_path: Path) -> None:
    net = network()
    with torch.no_grad():
        net.classifier.linear.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="epoch 1: the loss became nan"):
        train(net, data, OPTIONS, tmp_path / "steel.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_refuses_impossible_options() -> None:
    for name, (least, most) in RANGES.items():
        Options(**{name: least})
        Options(**{name: most})
        for value in (least - 1, most + 1, math.nan, math.inf, -math.inf, 10**5000):
            with pytest.raises(OptionError, match=f"found {name} .*, expected {least} to {most}"):
                Options(**{name: value})
    with pytest.raises(OptionError, match="found device 'meta', expected cpu or cuda"):
        Options(device="meta")


def test_names_a_missing_device(
    data: PictureLessons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="found no CUDA device"):
        train(network(), data, replace(OPTIONS, device="cuda"), tmp_path / "steel.safetensors")


def test_the_real_twin_runs_the_same_phases_and_stays_real(
    data: PictureLessons, tmp_path: Path
) -> None:
    options = Options(real_epochs=1, epochs=1, finetune_epochs=1, batch=16, threads=1)
    torch.manual_seed(3)
    net = build("pa-resnet-small", {"depth": 5, "kind": "real"})
    saved: list[Result] = []
    result = train(net, data, options, tmp_path / "twin.safetensors", save=saved.append)
    assert [p.phase for p in result.history] == [
        "real values",
        "batch statistics",
        "fixed statistics",
    ]
    assert not net.frozen and saved == [result]
    found = predict(net, data.val_pictures)
    assert int((found == np.array(data.val_labels)).sum()) == result.correct


def test_refuses_the_state_of_a_network_of_the_same_shapes(
    data: PictureLessons, tmp_path: Path
) -> None:
    options = Options(epochs=2, finetune_epochs=0, batch=16, threads=1)
    checkpoint = tmp_path / "steel.safetensors"
    with pytest.raises(Interrupted):
        train(build("pa-resnet-small", {"depth": 5}), data, options, checkpoint, stop_after(1))
    twin = build("pa-resnet-small", {"depth": 5, "kind": "real"})
    with pytest.raises(TrainingError, match="belongs to a run with other configuration; delete"):
        train(twin, data, options, checkpoint)

# SPDX-License-Identifier: Apache-2.0
"""Learning masks: the loss against its definition, runs that resume, pictures of the outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from andpop.flows import api
from andpop.flows.errors import UsageError
from andpop.models.registry import get
from andpop.quant.data.layout import DatasetError
from andpop.quant.samples.pairs import find_pairs
from andpop.quant.synthetic import generate_masked
from andpop.quant.tasks.mask_lessons import (
    MaskLessons,
    Result,
    draw_examples,
    prepare,
    tversky_cross_entropy,
)
from andpop.quant.tasks.overlays import difference
from andpop.quant.tasks.pixels import FIGURES, score
from andpop.quant.training.recipe import Options, Progress
from andpop.quant.training.run import predict, train
from andpop.quant.training.state import TrainingError
from PIL import Image
from pydantic import BaseModel
from torch import Tensor, nn

OPTIONS = Options(
    **{**get("u-binet").recipe, "real_epochs": 2, "epochs": 2, "finetune_epochs": 1},
    warmup_epochs=1,
    threads=1,
)


class Empty(BaseModel):
    """Configuration of a network without switches."""


class Dots(nn.Module):
    """The smallest network with logits per pixel that training accepts."""

    config = Empty()
    freezable = False

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 5, padding=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 5, padding=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x / 64 - 2)
        return logits

    def set_real(self, on: bool) -> None:
        """Real it is."""

    def freeze_bn(self) -> None:
        """Batch statistics stay in use."""

    def freeze(self) -> None:
        raise AssertionError("a real-valued network was frozen")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> MaskLessons:
    folder = tmp_path_factory.mktemp("synthetic")
    generate_masked(folder, per_class=8, size=48, seed=1)
    return prepare(find_pairs(folder), 32, 32, 1, validation=0.25, seed=2)


def test_loss_is_that_of_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    compared = 0
    for _ in range(10):
        logits = torch.randn(3, 2, 5, 7, generator=generator, dtype=torch.float64)
        truth = torch.randint(0, 2, (3, 5, 7), generator=generator)
        tp = fp = fn = entropy = 0.0
        for n, y, x in np.ndindex(3, 5, 7):
            background, defect = np.exp(logits[n, :, y, x].numpy())
            p = defect / (background + defect)
            wanted = int(truth[n, y, x])
            tp += p * wanted
            fp += p * (1 - wanted)
            fn += (1 - p) * wanted
            entropy -= np.log(p if wanted else 1 - p) / truth.numel()
        expected = 1 - (tp + 1) / (tp + 0.3 * fp + 0.7 * fn + 1) + 0.5 * entropy
        assert float(tversky_cross_entropy(logits, truth)) == pytest.approx(expected, abs=1e-12)
        compared += 1
    assert compared == 10


def test_gradient_of_the_loss() -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    for truth in (torch.randint(0, 2, (2, 3, 4)), torch.zeros(2, 3, 4, dtype=torch.int64)):
        assert torch.autograd.gradcheck(lambda x, t=truth: tversky_cross_entropy(x, t), (logits,))


def test_loss_prefers_false_alarms_to_misses() -> None:
    truth = torch.zeros(1, 8, 8, dtype=torch.int64)
    truth[0, :4] = 1

    def loss(found: Tensor) -> float:
        signs = (2 * found - 1).to(torch.float64)
        return float(tversky_cross_entropy(torch.stack((-4 * signs, 4 * signs), dim=1), truth))

    wider, narrower = truth.clone(), truth.clone()
    wider[0, 4], narrower[0, 3] = 1, 0
    assert loss(truth) < 0.01 < loss(wider) < loss(narrower) < loss(1 - truth)


def test_views_pair_pictures_with_their_masks(task: MaskLessons) -> None:
    """Scratches are the brightest pixels: the mask must follow them through every view."""
    kind = task.classes.index("Scratches")
    chosen = [i for i, label in enumerate(task.train_labels) if label == kind]
    rngs = [np.random.default_rng([1, j]) for j in range(len(chosen))]
    pictures, masks = task.views(chosen, rngs, jitter=0.2)
    assert pictures.shape == (6, 32, 32, 1) and pictures.dtype == np.uint8
    assert masks.shape == (6, 32, 32) and masks.dtype == torch.int64
    for picture, mask in zip(pictures[:, :, :, 0], masks.numpy() == 1, strict=True):
        assert mask.any()
        assert picture[mask].mean() > picture[~mask].mean() + 10


def test_validation_pairs_are_never_trained_on(task: MaskLessons) -> None:
    assert task.classes == ("Free", "Inclusion", "Patches", "Scratches")
    assert np.bincount(task.val_labels).tolist() == [2] * 4
    assert np.bincount(task.train_labels).tolist() == [6] * 4
    assert task.val_pictures.shape == (8, 32, 32, 1) and task.val_masks.shape == (8, 32, 32)
    (note,) = task.notes
    assert note.startswith("32 of 32 pictures resized to 32x32 (bilinear; masks by area), e.g. syn")


def test_another_seed_is_another_split(tmp_path: Path) -> None:
    generate_masked(tmp_path, per_class=8, size=32, seed=1)
    first, again, other = (
        prepare(find_pairs(tmp_path), 32, 32, 1, validation=0.25, seed=s).val_names
        for s in (2, 2, 3)
    )
    assert first == again != other


def test_a_bad_mask_stops_before_training(tmp_path: Path) -> None:
    generate_masked(tmp_path, per_class=4, size=32, seed=1)
    path = tmp_path / "MT_Patches/Imgs/synthetic_2.png"
    Image.fromarray(np.zeros((32, 31), dtype=np.uint8)).save(path)
    with pytest.raises(DatasetError, match=r"synthetic_2.png: found a mask of 32x31 pixels"):
        prepare(find_pairs(tmp_path), 32, 32, 1)


def test_masks_without_any_defect_teach_nothing(tmp_path: Path) -> None:
    for name in "abcd":
        for folder, value in (("images", 90), ("masks", 0)):
            (tmp_path / folder).mkdir(exist_ok=True)
            pixels = np.full((32, 32), value, np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    with pytest.raises(DatasetError, match="found no defect in the masks of 3 pictures"):
        prepare(find_pairs(tmp_path), 32, 32, 1)


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
    task: MaskLessons, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Tensor], Result, Path]:
    checkpoint = tmp_path_factory.mktemp("whole") / "tiles.safetensors"
    net = Dots()
    result = train(net, task, OPTIONS, checkpoint)
    return net.state_dict(), result, checkpoint


@pytest.mark.parametrize("epochs", [(1,), (3, 4)])
def test_resumed_run_equals_an_uninterrupted_one(
    task: MaskLessons,
    whole: tuple[dict[str, Tensor], Result, Path],
    tmp_path: Path,
    epochs: tuple[int, ...],
) -> None:
    checkpoint = tmp_path / "tiles.safetensors"
    for epoch in epochs:
        with pytest.raises(Interrupted):
            train(Dots(), task, OPTIONS, checkpoint, stop_after(epoch))
    net = Dots()
    result = train(net, task, OPTIONS, checkpoint)
    assert timeless(result) == timeless(whole[1])
    assert all(torch.equal(net.state_dict()[name], value) for name, value in whole[0].items())


def test_metrics_are_those_of_the_final_network(
    task: MaskLessons, whole: tuple[dict[str, Tensor], Result, Path]
) -> None:
    state, result, checkpoint = whole
    net = Dots()
    net.load_state_dict(state)
    found = predict(net, task.val_pictures) == 1
    assert result.score == score(found, task.val_masks, task.val_labels, task.classes)
    metrics = json.loads(checkpoint.with_suffix(".metrics.json").read_text())
    assert {name: metrics[name] for name in FIGURES} == result.figures
    assert metrics["pixels"] == result.score["pixels"]
    assert sum(metrics["pixels"].values()) == 8 * 32 * 32
    assert metrics["per_class"]["Patches"]["n"] == 2
    assert (metrics["n"], metrics["training_pictures"]) == (8, 24)
    assert [h["dice"] for h in metrics["history"]] == [p.figures["dice"] for p in result.history]
    assert Image.open(checkpoint.with_suffix(".curve.png")).format == "PNG"


def test_learns(task: MaskLessons, tmp_path: Path) -> None:
    """Dark inclusions and patches, bright scratches: two small convolutions see most of them."""
    options = replace(OPTIONS, real_epochs=30, warmup_epochs=2, real_learning_rate=1e-2)
    result = train(Dots(), task, options, tmp_path / "tiles.safetensors")
    assert result.figures["dice"] is not None and result.figures["dice"] > 0.6
    assert result.history[-1].loss < 0.7 * result.history[0].loss


def test_refuses_the_state_of_other_pairs(task: MaskLessons, tmp_path: Path) -> None:
    checkpoint = tmp_path / "tiles.safetensors"
    with pytest.raises(Interrupted):
        train(Dots(), task, OPTIONS, checkpoint, stop_after(1))
    other = replace(task, val_names=[f"{name}x" for name in task.val_names])
    with pytest.raises(TrainingError, match="belongs to a run with other validation; delete it"):
        train(Dots(), other, OPTIONS, checkpoint)


def test_difference_has_a_colour_per_mistake() -> None:
    found, truth = np.array([[0, 1], [0, 1]]) == 1, np.array([[0, 0], [1, 1]]) == 1
    assert difference(found, truth).tolist() == [
        [[0, 0, 0], [255, 0, 0]],
        [[0, 0, 255], [255, 255, 255]],
    ]


def test_examples_show_every_class(task: MaskLessons, tmp_path: Path) -> None:
    path = tmp_path / "examples.png"
    draw_examples(Dots(), task, path)
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (800, 1600))
    few = replace(
        task,
        val_pictures=task.val_pictures[:3],
        val_masks=task.val_masks[:3],
        val_labels=task.val_labels[:3],
    )
    draw_examples(Dots(), few, path)
    with Image.open(path) as picture:
        assert picture.size == (800, 600)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Synthetic pairs, a checkpoint trained on those with patches, what training returned."""
    folder = tmp_path_factory.mktemp("u-binet")
    generate_masked(folder / "tiles", per_class=8, size=40, seed=1)
    checkpoint = folder / "tiles.safetensors"
    result = api.train(
        "u-binet",
        folder / "tiles",
        checkpoint,
        size=(32, 32, 1),
        config={"base": 4, "depth": 3},
        recipe={"real_epochs": 1, "epochs": 1, "finetune_epochs": 1, "threads": 1},
        validation=0.25,
        defects=["Free", "Patches"],
    )
    return folder / "tiles", checkpoint, result


def test_trains_u_binet_with_its_own_recipe(trained: tuple[Path, Path, dict[str, Any]]) -> None:
    _, checkpoint, result = trained
    assert sorted(p.name for p in checkpoint.parent.iterdir() if p.is_file()) == [
        "tiles.curve.png",
        "tiles.json",
        "tiles.metrics.json",
        "tiles.pictures.png",
        "tiles.safetensors",
    ]
    metrics = json.loads(checkpoint.with_suffix(".metrics.json").read_text())
    assert (metrics["options"]["batch"], metrics["options"]["label_smoothing"]) == (8, 0.0)
    card = json.loads(checkpoint.with_suffix(".json").read_text())
    assert card["frozen"] and card["classes"] == ["background", "defect"]
    assert "(magnetic-tile, Free, Patches alone), 12 pictures to train, 4 to" in card["data"]
    assert card["dice"] == result["dice"] == metrics["dice"]
    assert card["accuracy"] == result["accuracy"]
    assert list(result["per_class"]) == ["Free", "Patches"]


def test_evaluates_u_binet(trained: tuple[Path, Path, dict[str, Any]]) -> None:
    data, checkpoint, result = trained
    found = api.evaluate(checkpoint, data, defects=["Patches"])
    assert found["n"] == found["per_class"]["Patches"]["n"] == 8
    assert sum(found["pixels"].values()) == 8 * 32 * 32
    assert found["notes"][0].startswith("8 of 8 pictures resized to 32x32 (bilinear; masks by are")
    # On the validation pairs alone it finds what training reported of the frozen network.
    task = prepare(find_pairs(data, ["Free", "Patches"]), 32, 32, 1, validation=0.25)
    kept = {data / name for name in task.val_names}
    for picture in data.rglob("*.jpg"):
        if picture not in kept:
            picture.unlink()
            picture.with_suffix(".png").unlink()
    again = api.evaluate(checkpoint, data)
    assert again["pixels"] == result["pixels"]
    assert {name: again[name] for name in FIGURES} == {name: result[name] for name in FIGURES}


def test_refuses_what_masks_cannot_do(trained: tuple[Path, Path, dict[str, Any]]) -> None:
    data, checkpoint, _ = trained
    with pytest.raises(UsageError, match="--backend golden needs a build folder"):
        api.evaluate(checkpoint, data, backend="golden")
    with pytest.raises(UsageError, match="--defects: found .*bi-shufflenet-neu.safetensors, expec"):
        api.evaluate(api.DEMO_CHECKPOINT, data, defects=["Patches"])
    with pytest.raises(UsageError, match="--defects: found bi-shufflenet, expected a network"):
        api.train("bi-shufflenet", data, checkpoint, size=(32, 32, 1), defects=["Patches"])

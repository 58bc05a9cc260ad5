# SPDX-License-Identifier: Apache-2.0
"""``andpop train``: data set, network and recipe put together, checkpoint and card written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..models import registry
from ..models.build import build, save_network, start_from
from ..quant import classification, segmentation
from ..quant.checkpoint import Card, InputSize
from ..quant.datasets import find_samples
from ..quant.masks import find_pairs
from ..quant.names import printable
from ..quant.training import Options, Outcome, Task
from ..quant.training import Progress as Epoch
from ..quant.training import train as run
from .build import Progress
from .errors import UsageError
from .folder import behind_links, writing
from .masks import reflection
from .models import CHECKPOINT, sha256
from .pictures import upright_notes


def train(
    model: str,
    data: Path,
    checkpoint: Path,
    *,
    size: tuple[int, int, int],
    config: dict[str, Any],
    recipe: dict[str, Any],
    validation: float,
    defects: Sequence[str],
    start: Path | None,
    command: str,
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.train``."""
    if checkpoint.suffix != CHECKPOINT:
        raise UsageError(f"--out: found {checkpoint.name}, expected a name ending in {CHECKPOINT}")
    masks = registry.task(model) == "masks"
    if defects and not masks:
        raise UsageError(f"--defects: found {model}, expected a network that predicts masks")
    height, width, channels = size
    try:
        registry.parse(model, {**config, "channels": channels})
    except ValueError as error:
        raise UsageError(str(error)) from error
    options = Options(
        **{**registry.get(model).recipe, **recipe}, start=sha256(start) if start else ""
    )
    notes = reflection(model, config, height, width)
    dataset = find_pairs(data, defects) if masks else find_samples(data)
    if not masks and len(dataset.classes) < 2:
        raise UsageError(
            f"{data}: found pictures of class {dataset.classes[0]} alone ({dataset.layout}), "
            "expected two classes or more to tell apart; add pictures of another class"
        )
    notes = [*upright_notes([sample.path for sample in dataset.samples]), *notes]
    classes = segmentation.CLASSES if masks else dataset.classes
    torch.manual_seed(options.seed)
    net = build(model, {**config, "channels": channels, "classes": len(classes)})
    prepare = segmentation.prepare if masks else classification.prepare
    task: Task[Any] = prepare(
        dataset, height, width, channels, validation=validation, seed=options.seed
    )

    def report(epoch: Epoch) -> None:
        value = epoch.figures[task.figure]
        shown = "none" if value is None else f"{value:.4f}"
        stage = f"epochs (loss {epoch.loss:.3f}, validation {task.figure} {shown})"
        progress(f"train: {stage}", epoch.epoch, epoch.epochs)

    kinds = f", {', '.join(defects)} alone" if defects else ""
    card = Card(
        network=model,
        config=net.config.model_dump(mode="json"),
        input=InputSize(height=height, width=width, channels=1 if channels == 1 else 3),
        classes=list(classes),
        data=(
            f"{printable(data.name)} ({dataset.layout}{kinds}), {len(task.train_labels)} pictures "
            f"to train, {len(task.val_pictures)} to validate, split by seed"
        ),
        seed=options.seed,
        command=printable(command),
        frozen=net.freezable,
    )

    if start:
        before = start_from(net, start)
        if (before.seed, before.data) != (card.seed, card.data):
            raise UsageError(
                f"--start: {start} was trained with seed {before.seed} on {before.data}; expected "
                f"seed {card.seed} and {card.data}, or it has seen the validation pictures"
            )

    def save(result: Outcome) -> None:
        card.accuracy, card.dice = (result.figures.get(name) for name in ("accuracy", "dice"))
        card.validation_pictures = result.n
        save_network(net, checkpoint, card)
        if isinstance(task, segmentation.Segmentation):
            segmentation.draw_examples(net, task, checkpoint.with_suffix(".pictures.png"))

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with writing(behind_links(checkpoint)):
        result = run(net, task, options, checkpoint, report, save)
    if isinstance(task, segmentation.Segmentation):
        notes = [*task.notes, *notes]
    return {
        **result.summary(),
        "checkpoint": str(checkpoint),
        "card": card.model_dump(mode="json"),
        "notes": notes,
    }

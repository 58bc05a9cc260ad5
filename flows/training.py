# SPDX-License-Identifier: Apache-2.0
"""``andpop train``: data set, network and recipe put together, checkpoint and card written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..models.build import build, save_network, start_from
from ..quant.checkpoint import Card, InputSize
from ..quant.classification import Result, prepare
from ..quant.datasets import find_samples
from ..quant.training import Options
from ..quant.training import Progress as Epoch
from ..quant.training import train as run
from .build import Progress
from .errors import UsageError
from .models import CHECKPOINT, sha256


def train(
    model: str,
    data: Path,
    checkpoint: Path,
    *,
    size: tuple[int, int, int],
    config: dict[str, Any],
    recipe: dict[str, Any],
    validation: float,
    start: Path | None,
    command: str,
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.train``."""
    if checkpoint.suffix != CHECKPOINT:
        raise UsageError(f"--out: found {checkpoint.name}, expected a name ending in {CHECKPOINT}")
    height, width, channels = size
    options = Options(**recipe, start=sha256(start) if start else "")
    dataset = find_samples(data)
    torch.manual_seed(options.seed)
    try:
        network = {**config, "channels": channels, "classes": len(dataset.classes)}
        net = build(model, network)
    except ValueError as error:
        raise UsageError(str(error)) from error
    pictures = prepare(dataset, height, width, channels, validation=validation, seed=options.seed)

    def report(epoch: Epoch) -> None:
        stage = f"epochs (loss {epoch.loss:.3f}, validation {epoch.figures['accuracy']:.4f})"
        progress(f"train: {stage}", epoch.epoch, epoch.epochs)

    card = Card(
        network=model,
        config=net.config.model_dump(mode="json"),
        input=InputSize(height=height, width=width, channels=1 if channels == 1 else 3),
        classes=list(dataset.classes),
        data=(
            f"{data.name} ({dataset.layout}), {len(pictures.train_labels)} pictures to train, "
            f"{len(pictures.val_labels)} to validate, split by seed"
        ),
        seed=options.seed,
        command=command,
        frozen=net.freezable,
    )

    if start:
        before = start_from(net, start)
        if (before.seed, before.data) != (card.seed, card.data):
            raise UsageError(
                f"--start: {start} was trained with seed {before.seed} on {before.data}; expected "
                f"seed {card.seed} and {card.data}, or it has seen the validation pictures"
            )

    def save(result: Result) -> None:
        card.accuracy, card.validation_pictures = result.accuracy, result.n
        save_network(net, checkpoint, card)

    result = run(net, pictures, options, checkpoint, report, save)
    return {
        "accuracy": result.accuracy,
        "correct": result.correct,
        "n": result.n,
        "checkpoint": str(checkpoint),
        "card": card.model_dump(mode="json"),
    }

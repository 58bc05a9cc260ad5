# SPDX-License-Identifier: Apache-2.0
"""``andpop train``: data set, network and recipe put together, checkpoint and card written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...models import registry
from ...models.build import build, save_network, start_from
from ...quant.card import Card, InputSize
from ...quant.names import printable
from ...quant.training.lessons import Outcome
from ...quant.training.recipe import Options
from ...quant.training.recipe import Progress as Epoch
from ...quant.training.run import train as run
from ..errors import UsageError
from ..facts import reflection, task_of_network
from ..files import CHECKPOINT, sha256
from ..folder import behind_links, writing
from ..progress import Progress
from .infer import check_kinds


def train(
    model: str,
    data: Path,
    checkpoint: Path,
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
    height, width, channels = size
    try:
        registry.parse(model, {**config, "channels": channels})
    except ValueError as error:
        raise UsageError(str(error)) from error
    task = task_of_network(model)
    check_kinds(task, defects, model)
    options = Options(
        **{**registry.get(model).recipe, **recipe}, start=sha256(start) if start else ""
    )
    notes = reflection(model, config, height, width)
    dataset = task.find(data, defects)
    classes = task.classes(dataset)
    torch.manual_seed(options.seed)
    net = build(model, {**config, "channels": channels, "classes": len(classes)})
    lessons = task.prepare(
        dataset, height, width, channels, validation=validation, seed=options.seed
    )

    def report(epoch: Epoch) -> None:
        value = epoch.figures[lessons.figure]
        shown = "none" if value is None else f"{value:.4f}"
        stage = f"epochs (loss {epoch.loss:.3f}, validation {lessons.figure} {shown})"
        progress(f"train: {stage}", epoch.epoch, epoch.epochs)

    kinds = f", {', '.join(defects)} alone" if defects else ""
    card = Card(
        network=model,
        config=net.config.model_dump(mode="json"),
        input=InputSize(height=height, width=width, channels=1 if channels == 1 else 3),
        classes=list(classes),
        data=(
            f"{printable(data.name)} ({dataset.layout}{kinds}), {len(lessons.train_labels)} "
            f"pictures to train, {len(lessons.val_pictures)} to validate, split by seed"
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
        lessons.draw(net, checkpoint.with_suffix(".pictures.png"))

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with writing(behind_links(checkpoint)):
        result = run(net, lessons, options, checkpoint, report, save)
    return {
        **result.summary(),
        "checkpoint": str(checkpoint),
        "card": card.model_dump(mode="json"),
        "notes": [*lessons.notes, *notes],
    }

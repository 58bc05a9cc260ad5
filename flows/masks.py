# SPDX-License-Identifier: Apache-2.0
"""``andpop eval`` of a network that predicts masks: figures from pixel counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..quant.checkpoint import Card
from ..quant.masks import Notes, find_pairs, load_pairs, score
from .build import Progress
from .errors import UsageError, require

CHUNK = 64
"""Pictures in memory at a time."""


def evaluate(
    checkpoint: Path,
    card: Card,
    data: Path,
    backend: str | None,
    defects: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.evaluate``."""
    if backend not in (None, "torch"):
        raise UsageError(f"--backend: found {backend}, expected torch as {card.network} runs there")
    require("eval", "torch", "brevitas")
    from ..models.build import load_network
    from ..quant.exact import exact_eval
    from ..quant.training import predict

    net, _ = load_network(checkpoint)
    dataset = find_pairs(data, defects)
    samples = dataset.samples
    notes = Notes(card.input.height, card.input.width, card.resize)
    found, truth = [], []
    seconds = 0.0
    for start in range(0, len(samples), CHUNK):
        part = samples[start : start + CHUNK]
        pictures, masks = load_pairs(part, card.input.channels, notes)
        began = time.perf_counter()
        with exact_eval():
            found.append(predict(net, pictures) == 1)
        seconds += time.perf_counter() - began
        truth.append(masks)
        progress("predicting masks", start + len(part), len(samples))
    labels = [sample.label for sample in samples]
    figures = score(np.concatenate(found), np.concatenate(truth), labels, dataset.classes)
    return {**figures, "notes": notes.lines(), "seconds": seconds}

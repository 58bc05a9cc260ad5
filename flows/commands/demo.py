# SPDX-License-Identifier: Apache-2.0
"""``andpop demo``: every backend of a build on a few pictures, and a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...quant import synthetic
from .. import report_content
from ..backends import COMPARED
from ..compare import combine
from ..files import open_build
from ..folder import reads_build
from ..models import load_cpu_model
from ..pictures import Pictures, choose
from ..progress import Progress
from . import compare, simulate


@reads_build
def compare_all(
    folder: Path, size: int, images: Path | None, count: int, progress: Progress
) -> dict[str, Any]:
    """Simulate and compare the build of a classifier; see ``flows.api.demo``."""
    files = open_build(folder)
    cpu = load_cpu_model(files.packed)
    notes: list[str] = []
    labels: list[str] = []
    if images is None:
        pictures, labels = drawn(size, count)
        names = [f"synthetic {label} {i}" for i, label in enumerate(labels)]
    else:
        given = choose(images, count).read(cpu, progress)
        pictures, names, notes = given.pixels, given.names, [*cpu.notes, *given.notes]
    simulation, _ = simulate.run(
        files, cpu, pictures, names, simulate.Mode(capture=False), progress
    )
    compared = compare.run(files, cpu, pictures, names, COMPARED, progress)
    result = combine(compared.tallies)
    rows = cpu.task.report_rows(compared.outputs, cpu.classes, names, pictures)
    predictions = [{"picture": row.picture, "class": row.text} for row in rows]
    right: dict[str, int] = {}
    if labels:
        rows = [replace(row, label=label) for row, label in zip(rows, labels, strict=True)]
        for prediction, label in zip(predictions, labels, strict=True):
            prediction["label"] = label
        right = {"correct": sum(r.text == r.label for r in rows), "n": len(labels)}
    report_content.finish(files, rows, result, simulation, images is None)
    return {
        **result,
        **right,
        "predictions": predictions,
        "simulation": simulation,
        "notes": notes,
        "report": str(files.page),
    }


def drawn(size: int, count: int) -> tuple[Pictures, list[str]]:
    """Return surfaces of every class in turn, (count, size, size, 1), and their classes."""
    labels = [synthetic.CLASSES[i % len(synthetic.CLASSES)] for i in range(count)]
    pictures = [
        synthetic.picture(label, np.random.default_rng(i), size) for i, label in enumerate(labels)
    ]
    return np.stack(pictures), labels

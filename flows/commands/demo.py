# SPDX-License-Identifier: Apache-2.0
"""``andpop demo``: every backend of a build on a few pictures, and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...quant import synthetic
from .. import backends, report_content
from ..compare import combine
from ..files import open_build
from ..folder import reads_build
from ..models import load_cpu_model
from ..pictures import Pictures, read_chosen
from ..progress import Progress
from .compare import run

SHOWN = ("torch", "qonnx", "cpu", "rtl")


@reads_build
def compare_all(
    folder: Path, size: int, images: Path | None, count: int, progress: Progress
) -> dict[str, Any]:
    """Simulate and compare the build of a classifier; see ``flows.api.demo``."""
    files = open_build(folder)
    cpu = load_cpu_model(files.packed)
    notes: list[str] = []
    if images is None:
        pictures, names = drawn(size, count)
    else:
        given = read_chosen(images, cpu, progress, count)
        pictures, names, notes = given.pixels, given.names, [*cpu.notes, *given.notes]
    simulation, _ = backends.simulate(files, pictures, names, False, progress)
    compared = run(files, cpu, pictures, names, SHOWN, progress)
    result = combine(compared.tallies)
    rows = cpu.task.report_rows(cpu.outputs(pictures), cpu.classes, names, pictures)
    report_content.finish(files, rows, result, simulation, images is None)
    return {
        **result,
        "predictions": [{"picture": row.picture, "class": row.text} for row in rows],
        "simulation": simulation,
        "notes": notes,
        "report": str(files.page),
    }


def drawn(size: int, count: int) -> tuple[Pictures, list[str]]:
    """Return drawn steel surfaces, (count, size, size, 1), and their names."""
    names = [synthetic.CLASSES[i % len(synthetic.CLASSES)] for i in range(count)]
    pictures = [
        synthetic.picture(name, np.random.default_rng(i), size) for i, name in enumerate(names)
    ]
    return np.stack(pictures), [f"synthetic {name} {i}" for i, name in enumerate(names)]

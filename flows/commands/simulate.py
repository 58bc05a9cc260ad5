# SPDX-License-Identifier: Apache-2.0
"""``andpop simulate``: the whole network in Verilator against the golden model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import backends
from ..files import BuildFiles
from ..models import load_cpu_model
from ..pictures import choose
from ..progress import Progress
from .infer import check_folder


def simulate(
    files: BuildFiles,
    images: Path,
    count: int | None,
    capture: bool,
    folder: Path | None,
    doubts: list[str],
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.simulate``.

    Args:
        files: the build.
        images: a picture or a folder of pictures.
        count: use the first ``count`` pictures.
        capture: compare every layer boundary too.
        folder: where predictions that are pictures go.
        doubts: notes on the build folder itself.
        progress: called about once a second.
    """
    cpu = load_cpu_model(files.packed)
    task = cpu.task
    check_folder(task, folder, files.folder)
    chosen = choose(images, count)
    task.check_folder(folder, images, chosen.paths)
    given = chosen.read(cpu, progress)
    result, found = backends.simulate(files, given.pixels, given.names, capture, progress)
    if task.draws:
        rows = task.predictions(found, cpu.classes, images, given.paths, folder)
        result["predictions"] = rows
    notes = [*doubts, *cpu.notes, *given.notes, *cpu.does]
    return {"task": task.name, **result, "notes": notes}

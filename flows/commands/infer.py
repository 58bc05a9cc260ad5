# SPDX-License-Identifier: Apache-2.0
"""``andpop infer``: what a network finds in pictures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ...quant.tasks import TASKS
from ...quant.tasks.task import Task
from ..errors import UsageError
from ..models import task_of
from ..pictures import choose
from ..progress import Progress
from ..runners import check_backend, open_runner


def infer(
    model: Path,
    images: Path,
    backend: str | None,
    folder: Path | None,
    threads: int,
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.infer``."""
    check_backend(backend)
    task = task_of(model)
    if task.tells_logits and backend not in (None, "cpu"):
        raise UsageError(
            f"--backend: found {backend}, expected cpu as {model} predicts {task.predicts}"
        )
    check_folder(task, folder, model)
    chosen = choose(images, task=task)
    task.check_folder(folder, images, chosen.paths)
    net = open_runner(model, "cpu" if task.tells_logits else backend, "infer", threads, progress)
    given = chosen.read(net, progress)
    began = time.perf_counter()
    outputs = net.run(given.pixels)
    seconds = time.perf_counter() - began
    return {
        "task": task.name,
        "predictions": task.predictions(outputs, net.classes, images, given.paths, folder),
        "notes": [*net.notes, *given.notes, *net.does],
        "seconds": seconds,
    }


def check_folder(task: Task | None, folder: Path | None, model: Path) -> None:
    """Refuse a folder for predictions that are no pictures.

    Raises:
        UsageError: the task of ``model`` draws nothing.
    """
    if folder is not None and not (task and task.draws):
        drawn = " or ".join(t.predicts for t in TASKS if t.draws)
        raise UsageError(f"--out: found {model}, expected a network that predicts {drawn}")


def check_kinds(task: Task, only: object, model: object) -> None:
    """Refuse kinds of defect for a task that has none.

    Raises:
        UsageError: the task of ``model`` takes every picture.
    """
    if only and not task.kinds:
        known = " or ".join(t.predicts for t in TASKS if t.kinds)
        raise UsageError(f"--defects: found {model}, expected a network that predicts {known}")

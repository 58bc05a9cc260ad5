# SPDX-License-Identifier: Apache-2.0
"""``andpop eval``: how good a network is on labelled pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..models import task_of
from ..progress import Progress
from ..runners import check_backend, open_runner
from .infer import check_kinds

CHUNK = 64
"""Pictures in memory at a time."""


def evaluate(
    model: Path,
    data: Path,
    backend: str | None,
    threads: int,
    only: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.evaluate``."""
    check_backend(backend)
    task = task_of(model)
    check_kinds(task, only, model)
    net = open_runner(model, backend, "eval", threads, progress)
    dataset = task.find(data, only)
    exam = task.exam(dataset, net.classes, net.shape, net.resize_filter)
    seconds = 0.0
    for start in range(0, len(exam), CHUNK):
        stop = min(start + CHUNK, len(exam))
        pictures = exam.read(start, stop)
        began = time.perf_counter()
        outputs = net.run(pictures)
        seconds += time.perf_counter() - began
        exam.take(outputs)
        progress(f"predicting {task.predicts}", stop, len(exam))
    return {
        "task": task.name,
        **exam.score(),
        "notes": [*net.notes, *exam.notes(), *net.does],
        "seconds": seconds,
    }

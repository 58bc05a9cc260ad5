# SPDX-License-Identifier: Apache-2.0
"""``andpop compare``: every backend beside the golden model, layer by layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...quant.tasks.task import Outputs
from .. import report_content
from ..backends import BACKENDS, REFEREE, backend
from ..backends.backend import Opening
from ..backends.golden import Golden
from ..compare import IntArray, Tally, combine
from ..errors import CheckFailed, UsageError
from ..files import BuildFiles
from ..heads import outputs_of
from ..models import CpuModel, load_cpu_model
from ..pictures import Pictures, choose
from ..progress import Progress

CHUNK = 16
"""Pictures compared at a time with all their tensors in memory."""
REPORTED = 16
"""Most pictures in a report."""


@dataclass(frozen=True)
class Compared:
    """Outcome of a comparison.

    Attributes:
        tallies: one per backend but golden.
        outputs: what the golden model gave.
        simulation: what the RTL took, None where it did not run.
    """

    tallies: list[Tally]
    outputs: Outputs
    simulation: dict[str, Any] | None


def compare(
    files: BuildFiles,
    images: Path,
    wanted: Sequence[str],
    count: int | None,
    doubts: list[str],
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.compare``; ``doubts`` are notes on the folder itself."""
    cpu = load_cpu_model(files.packed)
    chosen = choose(images, count)
    given = chosen.read(cpu, progress)
    found = run(files, cpu, given.pixels, given.names, wanted, progress)
    result = combine(found.tallies)
    task = cpu.known_task
    if task is not None and files.report.is_file():
        names, sources = given.names[:REPORTED], given.sources[:REPORTED]
        rows = []
        # Masks are drawn over pictures: of arrays there are none.
        if not (chosen.arrays and task.draws):
            rows = task.report_rows(found.outputs, cpu.classes, names, given.pixels, sources)
        report_content.finish(files, rows, result, found.simulation, False)
    return {**result, "notes": [*doubts, *cpu.notes, *given.notes, *cpu.does]}


def run(
    files: BuildFiles,
    cpu: CpuModel,
    pictures: Pictures,
    names: Sequence[str],
    wanted: Sequence[str],
    progress: Progress,
) -> Compared:
    """Compare backends on pictures.

    Args:
        files: the build.
        cpu: its CPU model.
        pictures: (N, H, W, C) at its input size.
        names: names of the pictures.
        wanted: backends.
        progress: called per chunk of pictures.

    Raises:
        UsageError: unknown backend, or a build that lacks what one needs.
        CheckFailed: nothing to compare, or a backend's layers are not those it must deliver.
    """
    wanted = list(dict.fromkeys(name.strip() for name in wanted))
    unknown = [name for name in wanted if name not in BACKENDS]
    if unknown:
        raise UsageError(f"--backends: found '{unknown[0]}', expected any of {','.join(BACKENDS)}")
    golden = Golden(files)
    opening = Opening(files, cpu, progress)
    runners = [backend(name)(opening) for name in wanted if name != REFEREE]
    tallies = [
        Tally(runner.coverage(golden.model, golden.hardware), golden.bits) for runner in runners
    ]
    if not tallies:
        raise CheckFailed("nothing to compare: name at least one backend besides golden")
    done, total = 0, len(pictures) * (1 + len(runners))
    heads: dict[str, list[IntArray]] = {head.tensor: [] for head in golden.heads}
    for start in range(0, len(pictures), CHUNK):
        part = slice(start, start + CHUNK)
        progress("compare: golden", done, total)
        expected = golden.run(pictures[part])
        for tensor, parts in heads.items():
            parts.append(expected[tensor])
        done += len(pictures[part])
        for runner, tally in zip(runners, tallies, strict=True):
            progress(f"compare: {runner.name}", done, total)
            began = time.perf_counter()
            got = runner.run(pictures[part])
            tally.add(expected, got, names[part], time.perf_counter() - began)
            done += len(pictures[part])
    progress("compare", total, total)
    simulation = next((r.figures for r in runners if r.figures), None)
    whole = {tensor: np.concatenate(parts) for tensor, parts in heads.items()}
    return Compared(tallies, outputs_of(golden.heads, whole), simulation)

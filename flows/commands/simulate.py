# SPDX-License-Identifier: Apache-2.0
"""``andpop simulate``: the whole network in Verilator against the golden model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...hw.rtl import simulate as rtl
from ...quant.tasks.task import Outputs
from ..backends.backend import Opening
from ..backends.golden import Golden
from ..backends.rtl import Rtl, cycle_figures
from ..compare import Tally, combine
from ..coverage import output_alone
from ..files import BuildFiles
from ..heads import outputs_of
from ..models import CpuModel, load_cpu_model
from ..pictures import Pictures, choose
from ..progress import Progress, frames
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
    task = cpu.known_task
    check_folder(task, folder, files.folder)
    chosen = choose(images, count)
    if task is not None:
        task.check_folder(folder, images, chosen.paths)
    given = chosen.read(cpu, progress)
    result, found = run(files, cpu, given.pixels, given.names, capture, progress)
    if task is not None and task.draws:
        rows = task.predictions(found, cpu.classes, images, given.paths, folder)
        result["predictions"] = rows
    notes = [*doubts, *cpu.notes, *given.notes, *cpu.does]
    return {"task": task and task.name, **result, "notes": notes}


def run(
    files: BuildFiles,
    cpu: CpuModel,
    pictures: Pictures,
    names: Sequence[str],
    capture: bool,
    progress: Progress,
) -> tuple[dict[str, Any], Outputs]:
    """Simulate pictures beside the golden model.

    Returns:
        What ``flows.api.simulate`` does but predictions and notes; what every head gave.
    """
    golden = Golden(files)
    backend = Rtl(Opening(files, cpu, progress))
    with frames(progress, "rtl", len(pictures)) as report:
        ran = rtl.simulate(files.rtl, pictures, progress=report)
    alone = output_alone(backend.name, golden.model, "only the output was compared (--no-capture)")
    tally = Tally(alone, golden.bits)
    expected = golden.run(pictures)
    tally.add(expected, ran.outputs, names)
    tallies = [tally]
    divergence: dict[str, Any] | None = None
    if capture or tally.values_differing:
        layers = Tally(backend.coverage(golden.model, golden.hardware), golden.bits)
        layers.add(expected, backend.run(pictures), names)
        tallies.append(layers)
        divergence = _explain(files, backend, pictures, layers)
    result = combine(tallies)
    # The output comes out of both runs: it counts once, but what differs in either is told.
    seen = tallies[-1].summary()
    figures = {
        "images": ran.images,
        "values_compared": seen["values_compared"],
        "values_differing": result["values_differing"],
        **cycle_figures(ran),
        "build_seconds": ran.build_seconds,
        "first_divergence": divergence or result["first_divergence"],
        "layers": tallies[-1].layers(),
        "layers_total": seen["layers_total"],
        "not_covered": seen["not_covered"],
    }
    return figures, outputs_of(golden.heads, ran.outputs)


def _explain(
    files: BuildFiles,
    backend: Rtl,
    pictures: Pictures,
    layers: Tally,
) -> dict[str, Any] | None:
    """The first divergence with its cycle, a waveform of the cycles before it, and the command."""
    first = layers.first
    if first is None or backend.last is None:
        return None
    where = (first.picture_index, *first.index)
    node, cycle = rtl.locate(files.rtl, backend.last, first.layer, where)
    waveform = files.folder / "divergence.vcd"
    rtl.waveform(files.rtl, pictures, cycle, waveform)
    return {
        **first.as_json(),
        "node": node,
        "cycle": cycle,
        "waveform": str(waveform),
        "reproduce": f"andpop simulate {files.folder} --images PICTURES --count {len(pictures)}",
    }

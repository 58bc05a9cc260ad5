# SPDX-License-Identifier: Apache-2.0
"""``andpop simulate``: the whole network in Verilator against the golden model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...hw.rtl import simulate as rtl
from ...hw.synth import yosys
from ...quant.tasks.task import Outputs
from ...sim.network import Pauses
from ..backends.backend import Opening
from ..backends.golden import Golden
from ..backends.rtl import Rtl, cycle_figures
from ..compare import Tally, combine
from ..coverage import output_alone
from ..errors import UsageError
from ..files import BuildFiles
from ..heads import outputs_of
from ..models import CpuModel, load_cpu_model
from ..pictures import Pictures, choose
from ..progress import Progress
from .infer import check_folder


@dataclass(frozen=True)
class Mode:
    """How a network is simulated.

    Attributes:
        capture: every layer boundary is compared too.
        pauses: runs with random standstills at both ends, one per seed from 1 on.
        primitives: the bodies made of 7-series cells, which synthesis takes, in place of the plain.

    Raises:
        UsageError: a negative number of pauses.
    """

    capture: bool = True
    pauses: int = 0
    primitives: bool = False

    def __post_init__(self) -> None:
        if self.pauses < 0:
            raise UsageError(f"pauses: found {self.pauses}, expected 0 or more")

    def seeds(self) -> Iterator[Pauses]:
        """The pauses of every run: 20 to 60 % of the bursts at one end, 60 to 20 % at the other."""
        for seed in range(1, self.pauses + 1):
            share = 20 + 10 * ((seed - 1) % 5)
            yield Pauses(seed, share, 80 - share)

    @property
    def options(self) -> str:
        """The options of the command that asks for it."""
        return (
            ("" if self.capture else " --no-capture")
            + (f" --pauses {self.pauses}" if self.pauses else "")
            + (" --primitives" if self.primitives else "")
        )


def simulate(
    files: BuildFiles,
    images: Path,
    count: int | None,
    mode: Mode,
    folder: Path | None,
    doubts: list[str],
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.simulate``.

    Args:
        files: the build.
        images: a picture or a folder of pictures.
        count: use the first ``count`` pictures.
        mode: how.
        folder: where predictions that are pictures go.
        doubts: notes on the build folder itself.
        progress: called about once a second.
    """
    cpu = load_cpu_model(files.packed)
    task = cpu.known_task
    check_folder(task, folder, files.folder)
    chosen = choose(images, count, task if folder else None)
    if task is not None:
        task.check_folder(folder, images, chosen.paths)
    given = chosen.read(cpu, progress)
    result, found = run(files, cpu, given.pixels, given.names, mode, progress)
    if task is not None and task.draws and not chosen.arrays:
        rows = task.predictions(found, cpu.classes, images, given.paths, folder)
        result["predictions"] = rows
    notes = [*doubts, *cpu.notes, *given.notes, *cpu.does]
    return {"task": task and task.name, **result, "notes": notes}


def run(
    files: BuildFiles,
    cpu: CpuModel,
    pictures: Pictures,
    names: Sequence[str],
    mode: Mode,
    progress: Progress,
) -> tuple[dict[str, Any], Outputs]:
    """Simulate pictures beside the golden model.

    Returns:
        What ``flows.api.simulate`` does but predictions and notes; what every head gave.
    """
    golden = Golden(files)
    backend = Rtl(Opening(files, cpu, progress), yosys.cells_sim() if mode.primitives else None)
    ran = backend.simulate(pictures, "rtl", capture=False)
    alone = output_alone(backend.name, golden.model, "only the output was compared (--no-capture)")
    every = backend.coverage(golden.model, golden.hardware)
    tally = Tally(alone, golden.bits)
    expected = golden.run(pictures)
    tally.add(expected, ran.outputs, names)
    tallies = [tally]
    divergence: dict[str, Any] | None = None
    if mode.capture or tally.values_differing:
        layers = Tally(every, golden.bits)
        layers.add(expected, backend.run(pictures), names)
        tallies.append(layers)
        divergence = _explain(files, backend, pictures, layers, mode, backend.last)
    # The output comes out of every run: it counts once, but what differs in any is told.
    seen, layers_seen = tallies[-1].summary(), tallies[-1].layers()
    paused = []
    for pauses in mode.seeds():
        again = Tally(every if mode.capture else alone, golden.bits)
        stage = f"rtl with pauses, seed {pauses.seed}"
        run = backend.simulate(pictures, stage, capture=mode.capture, pauses=pauses)
        again.add(expected, run.tensors if mode.capture else run.outputs, names)
        tallies.append(again)
        paused.append(_pause_figures(pauses, again))
        if mode.capture and divergence is None:
            divergence = _explain(files, backend, pictures, again, mode, run, pauses)
    result = combine(tallies)
    figures = {
        "images": ran.images,
        "values_compared": seen["values_compared"],
        "values_differing": result["values_differing"],
        **cycle_figures(ran),
        "build_seconds": ran.build_seconds,
        "first_divergence": divergence or result["first_divergence"],
        "layers": layers_seen,
        "layers_total": seen["layers_total"],
        "not_covered": seen["not_covered"],
        "pauses": paused,
        "primitives": mode.primitives,
    }
    return figures, outputs_of(golden.heads, ran.outputs)


def _pause_figures(pauses: Pauses, tally: Tally) -> dict[str, Any]:
    """What a run with pauses compared."""
    seen = tally.summary()
    return {
        "seed": pauses.seed,
        "percent_in": pauses.percent_in,
        "percent_out": pauses.percent_out,
        "layers": seen["layers"],
        "values_compared": seen["values_compared"],
        "values_differing": seen["values_differing"],
    }


def _explain(
    files: BuildFiles,
    backend: Rtl,
    pictures: Pictures,
    layers: Tally,
    mode: Mode,
    run: rtl.SimResult | None,
    pauses: Pauses | None = None,
) -> dict[str, Any] | None:
    """The first divergence with its cycle, a waveform of the cycles before it, and the command."""
    first = layers.first
    if first is None or run is None:
        return None
    where = (first.picture_index, *first.index)
    node, cycle = rtl.locate(files.rtl, run, first.layer, where)
    waveform = files.folder / "divergence.vcd"
    backend.waveform(pictures, cycle, waveform, pauses)
    return {
        **first.as_json(),
        "node": node,
        "cycle": cycle,
        "waveform": str(waveform),
        "reproduce": (
            f"andpop simulate {files.folder} --images PICTURES --count {len(pictures)}"
            f"{mode.options}"
        ),
    }

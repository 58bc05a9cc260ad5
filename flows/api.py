# SPDX-License-Identifier: Apache-2.0
"""The Python API: one function per command of ``andpop``. Heavy parts are imported when needed.

Every function takes paths or strings, and returns the plain values that ``--json`` prints.
``progress`` is called with (stage, done, total). Errors: ``UsageError``, or a room's own
``ValueError``, for bad input, ``MissingExtra`` and ``ToolMissing`` for what is missing,
``CheckFailed`` where what was asked for does not hold, ``Busy`` where another command writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import doctor as _doctor
from .api_hardware import bitstream as bitstream
from .api_hardware import run as run
from .api_hardware import synth as synth
from .api_hardware import synth_kernel as synth_kernel
from .config import read_config
from .errors import require, require_hardware
from .files import CHECKPOINT, AnyPath, as_path, open_build
from .folder import reads_build
from .progress import Progress, silent
from .trust import blames_damage
from .trust import check as check_trust

ZOO = Path(__file__).parent.parent / "models" / "zoo"
DEMO_CHECKPOINT = ZOO / f"bi-shufflenet-neu{CHECKPOINT}"
SYNTHETIC_CHECKPOINT = ZOO / f"bi-shufflenet-synthetic{CHECKPOINT}"


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
    """
    require("count", "torch", "brevitas")
    from .commands import count as command

    return command.count(model, size, config or {}, real_down)


def train(
    model: str,
    data: AnyPath,
    checkpoint: AnyPath,
    *,
    size: tuple[int, int, int],
    config: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    validation: float = 0.2,
    defects: Sequence[str] = (),
    start: AnyPath | None = None,
    command: str = "",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a network for its task on a labelled folder; write the frozen checkpoint, its card.

    Args:
        model: network name.
        data: labelled pictures in any layout of ``quant.data``.
        checkpoint: file to write, ending in .safetensors; predicted masks go beside it.
        size: input height, width, channels.
        config: switches of the network.
        recipe: fields of ``quant.training.recipe.Options``; those not given are the network's own.
        validation: share of each class never trained on.
        defects: kinds of defect to learn, of networks that predict masks; all by default.
        start: checkpoint to start from, e.g. of the real-valued twin.
        command: what the card records as the command.
    """
    require("train", "torch", "brevitas")
    from .commands import train as train_command

    return train_command.train(
        model, Path(data), Path(checkpoint), size, config or {}, recipe or {}, validation, defects,
        as_path(start), command, progress,
    )  # fmt: skip


def export(
    checkpoint: AnyPath, file: AnyPath, *, size: tuple[int, int, int] | None = None
) -> dict[str, Any]:
    """Write a checkpoint as QONNX; returns ``{"file", "nodes", "notes"}``."""
    require("export", "qonnx", "onnx", "torch", "brevitas")
    import onnx

    from .compile import export_checkpoint

    notes = export_checkpoint(Path(checkpoint), Path(file), size)
    return {"file": str(file), "nodes": len(onnx.load(file).graph.node), "notes": notes}


def register(*, verilator: bool = False) -> None:
    """Make FINN know andpop's ops in this process, so that its passes accept andpop's graphs.

    Call it once per process, before FINN is asked for anything. FINN's build folder is set to one
    in andpop's cache unless ``FINN_BUILD_DIR`` names another; ``FINN_RTLLIB``, by which its scripts
    name its own sources, to the installed ones.

    Args:
        verilator: put Verilator in the place of Vivado's simulator, too, for every op of FINN.
    """
    require_hardware("register")
    from ..hw.kernels import register as register_kernels

    register_kernels()
    from finn.util.settings import get_settings

    os.environ.setdefault("FINN_RTLLIB", str(get_settings().finn_rtllib))
    if verilator:
        from ..sim import xsi

        xsi.install()


def build(
    source: AnyPath,
    folder: AnyPath,
    *,
    config: AnyPath | None = None,
    progress: Progress = silent,
    **options: Any,
) -> dict[str, Any]:
    """Compile a checkpoint or a QONNX file into a build folder.

    Args:
        source: checkpoint (.safetensors) or QONNX (.onnx).
        folder: build folder; replaced only when every step succeeded.
        config: build.yaml; ``options`` win over it.
        options: fields of ``flows.config.BuildConfig``.

    Returns:
        ``{"folder", "steps": [{step, seconds, skipped}], "slowest", "fit" (fit.json), "notes"}``.
    """
    chosen = read_config(as_path(config), options)
    require_hardware("build")
    from .commands import build as command

    return command.build(Path(source), Path(folder), chosen, progress)


def explain(source: AnyPath, *, config: AnyPath | None = None, **options: Any) -> dict[str, Any]:
    """Say of every node of somebody else's network what it becomes, or why it cannot be built.

    Args:
        source: QONNX (.onnx).
        config: build.yaml; ``options`` win over it.
        options: those fields of ``flows.config.BuildConfig`` that say what a pixel stands for.

    Returns:
        ``{"nodes": [hw.graph.explain.Row as a dict], "builds", "input", "notes"}``. Where it
        builds, the whole was also held against the file in exact arithmetic, as a build does.
    """
    chosen = read_config(as_path(config), options)
    require_hardware("build --explain")
    from .commands import explain as command

    return command.explain(Path(source), chosen)


@reads_build
def infer(
    model: AnyPath,
    images: AnyPath,
    *,
    backend: str | None = None,
    folder: AnyPath | None = None,
    threads: int = 1,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Classify pictures, or find the defects in them, on the CPU.

    Args:
        model: build folder, checkpoint or packed model.
        images: a picture or a folder of pictures.
        backend: of networks that predict masks, as in ``evaluate``.
        folder: where those write masks and overlays; nowhere by default.
        threads: CPU threads.

    Returns:
        ``{"predictions": [{picture, class, index, logits}], "notes": [...], "seconds"}``; of
        masks a prediction is ``{picture, defect_pixels, share, mask, overlay}``.
    """
    from .commands import infer as command

    return command.infer(Path(model), Path(images), backend, as_path(folder), threads, progress)


@reads_build
@blames_damage
def evaluate(
    model: AnyPath,
    data: AnyPath,
    *,
    backend: str | None = None,
    threads: int = 1,
    defects: Sequence[str] = (),
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure accuracy on a labelled folder; on masks the figures of ``quant.tasks.pixels``.

    Args:
        model: build folder, checkpoint or packed model.
        data: labelled pictures; every class must be one of the model's.
        backend: "cpu" (by default), "golden" (needs a build folder) or "torch" (needs a
            checkpoint or a build of one); masks of real values run in "torch" alone.
        threads: CPU threads.
        defects: kinds of defect to measure, of networks that predict masks; all by default.

    Returns:
        ``{"n", "correct", "accuracy", "per_class", "confusion", "notes", "seconds"}``; of masks
        ``{"n", "accuracy", "precision", "recall", "fpr", "fnr", "mae", "dice", "pixels",
        "per_class", "notes", "seconds"}``.
    """
    from .commands import evaluate as command

    return command.evaluate(Path(model), Path(data), backend, threads, defects, progress)


@reads_build
@blames_damage
def compare(
    folder: AnyPath,
    images: AnyPath,
    backends: Sequence[str] | None = None,
    *,
    count: int | None = None,
    trust: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Compare backends with the golden model at every layer boundary.

    Every backend must deliver the layers that ``flows.coverage`` states for it. The build's
    report.html is completed by what was found.

    Args:
        folder: build folder.
        images: a picture or a folder of pictures.
        backends: any of "torch", "qonnx", "golden", "cpu", "rtl"; golden always runs. By default
            all but "qonnx", or all but "torch" where the build was made from a QONNX file.
        count: use the first ``count`` pictures.
        trust: compile and run the RTL of a folder that differs from its build.json too.

    Returns:
        ``{"values_compared", "values_differing", "first_divergence", "backends", "layers",
        "notes"}``; values compared are distinct ones, see ``hw.graph.distinct``.
    """
    files = open_build(Path(folder))
    if backends is None:
        reference = "torch" if files.checkpoint.is_file() else "qonnx"
        backends = (reference, "golden", "cpu", "rtl")
    doubts = check_trust(files, "rtl" in [name.strip() for name in backends], trust)
    require_hardware("compare")
    from .commands import compare as command

    return command.compare(files, Path(images), backends, count, doubts, progress)


@reads_build
@blames_damage
def simulate(
    folder: AnyPath,
    images: AnyPath,
    *,
    count: int | None = None,
    capture: bool = True,
    pauses: int = 0,
    primitives: bool = False,
    masks_folder: AnyPath | None = None,
    trust: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run the whole network in Verilator against the golden model.

    Args:
        folder: build folder.
        images: a picture or a folder of pictures.
        count: use the first ``count`` pictures.
        masks_folder: where simulated masks and overlays go, of networks that predict masks.
        capture: compare every layer boundary too (a second run; speed is measured without).
        pauses: runs more, each with random standstills at both ends; the seeds are 1 and on.
        primitives: simulate what synthesis reads: 7-series cells, FIFOs in their final form.
        trust: compile and run a folder that differs from its build.json too.

    Returns:
        ``{"images", "values_compared", "values_differing", "cycles_per_frame", "interval",
        "sim_cycles_per_second", "build_seconds", "first_divergence", "layers", "layers_total",
        "not_covered", "pauses": rows, "primitives", ...}``; of masks also ``predictions``.
    """
    files = open_build(Path(folder))
    doubts = check_trust(files, True, trust)
    require_hardware("simulate")
    from .commands import simulate as command

    mode, masks = command.Mode(capture, pauses, primitives), as_path(masks_folder)
    return command.simulate(files, Path(images), count, mode, masks, doubts, progress)


def synthetic(
    folder: AnyPath,
    *,
    count: int = 100,
    size: int = 64,
    seed: int = 0,
    masks: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Draw steel surfaces with six kinds of defect, as a folder that ``train`` reads.

    Args:
        folder: is made; must be empty where it exists.
        count: pictures per class.
        size: side of the pictures in pixels, at least 16.
        seed: decides every picture.
        masks: draw pictures with masks instead, in the layout of Magnetic Tile.

    Returns:
        ``{"folder", "pictures", "classes", "size", "seed", "masks"}``, pictures per class.
    """
    from .commands import synthetic as command

    return command.write(Path(folder), count, size, seed, masks, progress)


def demo(
    folder: AnyPath,
    *,
    size: int = 64,
    images: AnyPath | None = None,
    count: int = 4,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Shipped checkpoint to RTL, every backend compared bit by bit, with a report.

    Args:
        folder: build folder.
        size: side of the square input.
        images: pictures of steel; None for synthetic surfaces and a network trained on such.
        count: number of pictures.

    Returns:
        What `compare` gives, ``predictions``, ``simulation``, ``report``; of drawn surfaces
        ``correct``, ``n`` and a true ``label`` as well.
    """
    require_hardware("demo")
    checkpoint = SYNTHETIC_CHECKPOINT if images is None else DEMO_CHECKPOINT
    built = build(checkpoint, folder, input=f"{size}x{size}x1", progress=progress)
    from .commands.demo import compare_all

    return {**compare_all(Path(folder), size, as_path(images), count, progress), "build": built}

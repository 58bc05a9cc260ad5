# SPDX-License-Identifier: Apache-2.0
"""The ``andpop`` program: every command is a thin call of ``flows.api``."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..models.registry import place_pa
from ..quant import tasks
from ..quant.names import printable
from ..quant.tasks.task import Shown
from . import api
from .compare import gap_lines
from .config import STEPS
from .errors import BAD_INPUT, CHECK_FAILED, INTERRUPTED, OK, UsageError, explain, one_line

app = typer.Typer(
    name="andpop",
    help="Binary neural networks on edge hardware: one trained network, one integer dataflow "
    "graph, four ways to run it, no differing bit between them.\n\n"
    "Start with: andpop demo",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Images = Annotated[Path, typer.Option("--images", help="A picture or a folder of pictures.")]
Count = Annotated[int | None, typer.Option("--count", min=1, help="Use the first N pictures only.")]
Classes = Annotated[int | None, typer.Option(min=2, help="Classes; the network's own number.")]
Width = Annotated[float | None, typer.Option(help="Bi-ShuffleNet: width multiplier, 1.")]
Conv1 = Annotated[int | None, typer.Option(help="Bi-ShuffleNet: kernel of conv1, 9.")]
Left = Annotated[str | None, typer.Option(help="Bi-ShuffleNet: kernels of the left branch, 5.")]
Right = Annotated[str | None, typer.Option(help="Bi-ShuffleNet: of the right branch, 3,3.")]
ShortcutDown = Annotated[
    bool | None, typer.Option(help="Bi-ShuffleNet: shortcut of down-sampling units, on.")
]
ShortcutBasic = Annotated[
    bool | None, typer.Option(help="Bi-ShuffleNet: shortcuts of basic units, on.")
]
Pool = Annotated[str | None, typer.Option(help="Bi-ShuffleNet: that pool, max or average.")]
Pa = Annotated[
    str | None,
    typer.Option("--pa", metavar="M,N", help="PA bases of weights and activations, e.g. 4,5."),
]
Levels = Annotated[str | None, typer.Option(help="Levels of PA layers: free or linear.")]
CoefficientBits = Annotated[
    int | None, typer.Option(help="Bits of PA levels, 4 to 8; each layer's own choice.")
]
Kind = Annotated[str | None, typer.Option(help="PA-ResNet: pa, 1-bit, or the real twin: real.")]
Depth = Annotated[int | None, typer.Option(help="pa-resnet-small: layers, 8, 11, 14 ... 62.")]
WeightBits = Annotated[int | None, typer.Option(help="Weights of the first and last layers, 8.")]
Base = Annotated[int | None, typer.Option(help="u-binet: channels of the first level, 32.")]
ActivationBits = Annotated[int | None, typer.Option("--k", help="u-binet: bits of activations, 4.")]
Monotone = Annotated[
    bool | None, typer.Option(help="u-binet: activations that never step down (eta < 0.5 / L).")
]
Defects = Annotated[
    str | None,
    typer.Option(help="u-binet: these kinds of defect alone, e.g. Crack,Fray; all."),
]
Masks = Annotated[Path | None, typer.Option("--out", help="Folder for masks and overlays as PNG.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run RTL of a build that differs from its build.json.")
]
Threads = Annotated[int, typer.Option(min=1, max=1024, help="CPU threads.")]
InputSize = Annotated[str | None, typer.Option("--input", metavar="HxWxC", help="Input size.")]

# Names come from outside: [bold] or :smile: in them is text and nothing else.
out = Console(markup=False, emoji=False, highlight=False)
err = Console(markup=False, emoji=False, highlight=False, stderr=True)
BAD_USAGE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""Base of all usage errors; where it lives depends on Typer's version."""


class Bars:
    """Progress bars on standard error; silent when the output is for machines.

    A stage is "name" or "name: detail": every name has one bar, whose text follows the detail.
    """

    def __init__(self, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
            disable=quiet,
        )
        self._tasks: dict[str, Any] = {}
        self._quiet = quiet

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self._update

    def __exit__(self, *_: object) -> None:
        # Stopping bars that never began would print an empty line.
        if self._tasks and not self._quiet:
            self._progress.stop()

    def _update(self, stage: str, done: int, total: int) -> None:
        if not self._tasks and not self._quiet:
            self._progress.start()
        stage = printable(stage)
        name = stage.partition(":")[0]
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[name], description=stage, completed=done, total=total)


def _emit(result: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        show(result)


def _say(text: str, console: Console = out) -> None:
    """Print one line, never wrapped."""
    console.print(printable(text), soft_wrap=True)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(title=printable(title), title_justify="left")
    for i, column in enumerate(columns):
        # A column of figures starts with one.
        figures = bool(rows) and str(rows[0][i])[:1].isdigit()
        table.add_column(printable(column), justify="right" if figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int) else printable(v) for v in row))
    out.print(table)


def _show(parts: Sequence[Shown]) -> None:
    """Print what a task has to show: lines as they are, and tables."""
    for part in parts:
        if isinstance(part, str):
            out.print(part, soft_wrap=True)
        else:
            _table(part.title, part.columns, part.rows)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show which tools are installed and what each missing one would unlock.

    Example: `andpop doctor`
    """

    def show(result: dict[str, Any]) -> None:
        rows = [
            (t["name"], t["version"] or "missing", t["unlocks"], "" if t["found"] else t["install"])
            for t in result["tools"]
        ]
        _table("andpop doctor", ("tool", "version", "needed for", "to get it"), rows)

    _emit(api.doctor(), as_json, show)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the build.")] = Path("demo"),
    size: Annotated[int, typer.Option(help="Side of the pictures.", min=32, max=4096)] = 64,
    images: Annotated[
        Path | None, typer.Option("--images", help="Your own pictures instead of synthetic ones.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of pictures.")] = 4,
    as_json: Json = False,
) -> None:
    """Take the shipped Bi-ShuffleNet from checkpoint to RTL and compare every backend bit by bit.

    Pictures are synthetic steel surfaces unless `--images` names some. Ends with a table and
    `report.html` in the output folder.

    Example: `andpop demo --out demo`
    """
    with Bars(as_json) as progress:
        result = api.demo(folder, size=size, images=images, count=count, progress=progress)
    _emit(result, as_json, lambda r: _show_demo(r, folder))
    raise typer.Exit(CHECK_FAILED if result["values_differing"] else OK)


def _show_backends(result: dict[str, Any]) -> None:
    rows = [
        (
            b["backend"],
            b["pictures"],
            f"{b['layers']} of {b['layers_total']}",
            b["values_compared"],
            b["values_differing"],
            f"{b['seconds']:.2f} s",
        )
        for b in result["backends"]
    ]
    columns = ("backend", "pictures", "layers", "values compared", "differing", "time")
    _table("Every backend against the golden model", columns, rows)
    for b in result["backends"]:
        _show_gaps(b["backend"], b["not_covered"])
    _show_divergence(result)
    _show_notes(result)


def _show_gaps(backend: str, gaps: list[dict[str, Any]]) -> None:
    """Say which layers were not compared and why, one line per reason."""
    for reason, text in gap_lines(gaps):
        _say(f"{backend}: not compared: {text}; {reason}")


def _show_notes(result: dict[str, Any]) -> None:
    for note in result["notes"]:
        _say(f"note: {note}", err)


def _show_demo(result: dict[str, Any], folder: Path) -> None:
    _show_backends(result)
    for p in result["predictions"]:
        out.print(Text.assemble(f"{printable(p['picture'])}: ", (printable(p["class"]), "bold")))
    sim = result["simulation"]
    out.print(
        f"RTL: {sim['cycles_per_frame']:,} cycles per frame, interval {sim['interval']:,}, "
        f"simulated at {sim['sim_cycles_per_second']:,.0f} cycles/s"
    )
    _say(f"Report: {folder / 'report.html'}")


@app.command()
def count(
    model: Annotated[str, typer.Argument(help="Network, e.g. bi-shufflenet or pa-resnet18.")],
    size: Annotated[str, typer.Option("--input", metavar="HxWxC", help="Input size.")],
    classes: Classes = None,
    width: Width = None,
    conv1_kernel: Conv1 = None,
    left: Left = None,
    right: Right = None,
    shortcut_down: ShortcutDown = None,
    shortcut_basic: ShortcutBasic = None,
    pool: Pool = None,
    pa: Pa = None,
    levels: Levels = None,
    coefficient_bits: CoefficientBits = None,
    kind: Kind = None,
    depth: Depth = None,
    weight_bits: WeightBits = None,
    base: Base = None,
    k: ActivationBits = None,
    monotone: Monotone = None,
    real_down: Annotated[
        bool, typer.Option(help="With --kind 1-bit: down-sampling of real weights, as Bi-Real's.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Count parameters, operations and memory by the papers' conventions.

    The switches are those of `andpop train`; shortcuts and their pool change no figure.

    Example: `andpop count pa-resnet18 --input 224x224x3`
    """
    config = _config(
        model, pa, levels, coefficient_bits, classes=classes, width=width,
        conv1_kernel=conv1_kernel, left=left, right=right, shortcut_down=shortcut_down,
        shortcut_basic=shortcut_basic, pool=pool, kind=kind, depth=depth, weight_bits=weight_bits,
        base=base, k=k, monotone=monotone,
    )  # fmt: skip
    result = api.count(model, api.parse_size(size), config, real_down=real_down)

    def show(r: dict[str, Any]) -> None:
        rows = [(key.replace("_", " "), value) for key, value in r.items()]
        _table(f"{model} at {size}", ("figure", "value"), rows)

    _emit(result, as_json, show)


def _config(
    model: str, pa: str | None, levels: str | None, coefficient_bits: int | None, **switches: Any
) -> dict[str, Any]:
    """Return the configuration of a network: the switches that were given, nothing else."""
    bases: dict[str, Any] = {"levels": levels, "coefficient_bits": coefficient_bits}
    if pa is not None:
        numbers = _integers("--pa", pa, "4,5")
        if len(numbers) != 2:
            raise UsageError(f"--pa: found '{pa}', expected M,N such as 4,5")
        bases |= {"m": numbers[0], "n": numbers[1]}
    for side in ("left", "right"):
        if switches.get(side) is not None:
            switches[side] = _integers(f"--{side}", switches[side], "3,3")
    given = {name: value for name, value in bases.items() if value is not None}
    switches |= place_pa(model, given)
    return {name: value for name, value in switches.items() if value is not None}


def _names(text: str | None) -> list[str]:
    """Return names divided by commas."""
    return [name.strip() for name in text.split(",")] if text else []


def _integers(option: str, text: str, example: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"{option}: found '{text}', expected whole numbers with commas such as {example}"
        ) from error


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="Network, e.g. bi-shufflenet.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of labelled pictures.")],
    checkpoint: Annotated[Path, typer.Option("--out", help="Checkpoint (.safetensors).")],
    size: Annotated[str, typer.Option("--input", metavar="HxWxC")] = "128x128x1",
    real_epochs: Annotated[
        int | None, typer.Option(min=0, help="On real values, before the rest: 0, u-binet 40.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="With batch statistics: 80, u-binet 40.")
    ] = None,
    finetune_epochs: Annotated[
        int | None, typer.Option(min=0, help="With BN frozen and snapped: 8, u-binet 4.")
    ] = None,
    real_learning_rate: Annotated[
        float | None, typer.Option("--real-lr", help="0.004, u-binet 0.001.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--lr", help="0.002, u-binet 0.001.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="32, u-binet 8.")] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(min=0.0, max=0.5, help="0.1, u-binet 0.")
    ] = None,
    jitter: Annotated[float, typer.Option(min=0.0, max=1.0, help="Gain and offset.")] = 0.2,
    width: Width = None,
    conv1_kernel: Conv1 = None,
    left: Left = None,
    right: Right = None,
    shortcut_down: ShortcutDown = None,
    shortcut_basic: ShortcutBasic = None,
    pool: Pool = None,
    pa: Pa = None,
    levels: Levels = None,
    coefficient_bits: CoefficientBits = None,
    kind: Kind = None,
    depth: Depth = None,
    weight_bits: WeightBits = None,
    base: Base = None,
    k: ActivationBits = None,
    monotone: Monotone = None,
    defects: Defects = None,
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Real-valued or unfrozen checkpoint to start from."),
    ] = None,
    validation: Annotated[float, typer.Option(help="Fraction kept for validation.")] = 0.2,
    seed: Annotated[int, typer.Option()] = 0,
    threads: Annotated[int | None, typer.Option(min=1, max=1024)] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Train a network on a picture folder; interrupt and run again to resume.

    Writes the frozen checkpoint, its card (.json), metrics and a curve picture, for masks also
    pictures of them beside the truth. A real-valued network (--kind real) is written as it was
    trained.

    Example: `andpop train bi-shufflenet --data steel/ --out steel.safetensors`
    """
    config = _config(
        model, pa, levels, coefficient_bits, width=width, conv1_kernel=conv1_kernel, left=left,
        right=right, shortcut_down=shortcut_down, shortcut_basic=shortcut_basic, pool=pool,
        kind=kind, depth=depth, weight_bits=weight_bits, base=base, k=k, monotone=monotone,
    )  # fmt: skip
    recipe = {
        "real_epochs": real_epochs,
        "epochs": epochs,
        "finetune_epochs": finetune_epochs,
        "real_learning_rate": real_learning_rate,
        "learning_rate": learning_rate,
        "batch": batch,
        "label_smoothing": label_smoothing,
        "jitter": jitter,
        "seed": seed,
        "threads": threads,
        "device": device,
    }
    with Bars(as_json) as progress:
        result = api.train(
            model,
            data,
            checkpoint,
            size=api.parse_size(size),
            config=config,
            recipe={name: value for name, value in recipe.items() if value is not None},
            validation=validation,
            defects=_names(defects),
            start=start,
            command=" ".join(["andpop", *sys.argv[1:]]),
            progress=progress,
        )
    _emit(result, as_json, lambda r: out.print_json(data=r))


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint (.safetensors).")],
    file: Annotated[Path, typer.Option("--out", help="QONNX file to write.")],
    size: InputSize = None,
    as_json: Json = False,
) -> None:
    """Write a checkpoint as QONNX that qonnx and ONNX Runtime execute.

    Example: `andpop export models/zoo/bi-shufflenet-neu.safetensors --out bi.qonnx.onnx`
    """
    result = api.export(checkpoint, file, size=api.parse_size(size) if size else None)

    def show(r: dict[str, Any]) -> None:
        _say(f"{r['file']}: {r['nodes']} nodes")
        _show_notes(r)

    _emit(result, as_json, show)


@app.command()
def build(
    source: Annotated[Path, typer.Argument(help="Checkpoint (.safetensors) or QONNX (.onnx).")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the build.")],
    size: InputSize = None,
    input_scale: Annotated[
        str | None, typer.Option(help="QONNX input = pixel * this (1/255, 1), less mean, by std.")
    ] = None,
    input_mean: Annotated[
        str | None, typer.Option(help="One number or one per channel: 0.485,0.456,0.406.")
    ] = None,
    input_std: Annotated[str | None, typer.Option(help="The same.")] = None,
    target_cycles: Annotated[int | None, typer.Option(min=1, help="Cycles per frame.")] = None,
    target_fps: Annotated[float | None, typer.Option(help="Frames per second.")] = None,
    clock_mhz: Annotated[float | None, typer.Option(help="Clock for --target-fps.")] = None,
    folding: Annotated[Path | None, typer.Option(help="FINN folding JSON.")] = None,
    board: Annotated[str | None, typer.Option(help="Board the RTL is meant for.")] = None,
    config: Annotated[Path | None, typer.Option(help="build.yaml with these options.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Stop after this step: " + ", ".join(STEPS))
    ] = None,
    as_json: Json = False,
) -> None:
    """Compile a network: dataflow graph, folding, CPU model, RTL, FIFO depths, report.

    Steps whose inputs did not change are skipped; a failed build leaves the last good one alone.

    Example: `andpop build model.safetensors --out build/steel --target-cycles 20000`
    """
    options = {
        "input": size,
        "input_scale": input_scale,
        "input_mean": input_mean,
        "input_std": input_std,
        "target_cycles": target_cycles,
        "target_fps": target_fps,
        "clock_mhz": clock_mhz,
        "folding": str(folding) if folding else None,
        "board": board,
        "until": until,
    }
    with Bars(as_json) as progress:
        result = api.build(source, folder, config=config, progress=progress, **options)
    _emit(result, as_json, lambda r: _show_build(r, folder))


def _show_build(result: dict[str, Any], folder: Path) -> None:
    rows = [
        (s["step"], "unchanged" if s["skipped"] else f"{s['seconds']:.1f} s")
        for s in result["steps"]
    ]
    _table(f"Build {folder}", ("step", "time"), rows)
    if result.get("slowest"):
        slowest = result["slowest"]
        _say(f"Slowest node: {slowest['name']}, {slowest['cycles']:,} cycles per frame")
    _show_notes(result)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="BUILD", help="Folder of a build.")],
    images: Images,
    count: Count = None,
    capture: Annotated[
        bool, typer.Option(help="Also compare every layer boundary (a second, slower run).")
    ] = True,
    masks: Masks = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Run the whole network in Verilator against the golden model.

    On a mismatch: the first divergent layer, index, both bit patterns and a waveform.

    Example: `andpop simulate build/steel --images pictures/ --count 4`
    """
    with Bars(as_json) as progress:
        result = api.simulate(
            folder,
            images,
            count=count,
            capture=capture,
            masks_folder=masks,
            trust=trust,
            progress=progress,
        )

    def show(r: dict[str, Any]) -> None:
        task = tasks.named(r["task"])
        end, each = task.last_word, task.predicts
        rows = [
            ("pictures", r["images"]),
            ("values compared", r["values_compared"]),
            ("values differing", r["values_differing"]),
            ("layers compared", f"{len(r['layers'])} of {r['layers_total']}"),
            (f"cycles from first pixel to {end}", r["cycles_per_frame"]),
            (f"cycles between two {each}", r["interval"]),
            ("simulated cycles per second", f"{r['sim_cycles_per_second']:,.0f}"),
            ("Verilator build", f"{r['build_seconds']:.1f} s"),
        ]
        _table(f"{folder} in Verilator against the golden model", ("figure", "value"), rows)
        _show_gaps("rtl", r["not_covered"])
        if "predictions" in r:
            _show(task.show_predictions(r["predictions"]))
        _show_divergence(r)
        _show_notes(r)

    _emit(result, as_json, show)
    raise typer.Exit(CHECK_FAILED if result["values_differing"] else OK)


def _show_divergence(result: dict[str, Any]) -> None:
    first = result["first_divergence"]
    if first is None:
        return
    err.print("First divergence", style="bold red")
    for key, value in first.items():
        _say(f"  {key}: {value}", err)


@app.command()
def infer(
    model: Annotated[Path, typer.Argument(help="Build folder, checkpoint or packed model.")],
    images: Images,
    backend: Annotated[
        str | None, typer.Option(help="Of masks: cpu, golden or torch; cpu.")
    ] = None,
    masks: Masks = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Classify pictures on the CPU, or find the defects in them.

    A network of masks prints how many pixels are defect. Masks (0 and 255) and overlays are
    written at each picture's own size, by nearest pixel.

    Example: `andpop infer models/zoo/bi-shufflenet-neu.andpop --images pictures/`
    """
    with Bars(as_json) as progress:
        result = api.infer(
            model, images, backend=backend, folder=masks, threads=threads, progress=progress
        )

    def show(r: dict[str, Any]) -> None:
        _show(tasks.named(r["task"]).show_predictions(r["predictions"]))
        _show_notes(r)

    _emit(result, as_json, show)


@app.command()
def compare(
    folder: Annotated[Path, typer.Argument(metavar="BUILD", help="Folder of a build.")],
    images: Images,
    backends: Annotated[
        str | None,
        typer.Option(
            help="Any of torch,qonnx,golden,cpu,rtl; by default all but qonnx, or all but torch "
            "where the build has no checkpoint."
        ),
    ] = None,
    count: Count = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Compare backends with the golden model, layer by layer, bit by bit.

    Example: `andpop compare build/steel --images pictures/ --backends torch,golden,cpu,rtl`
    """
    with Bars(as_json) as progress:
        result = api.compare(
            folder,
            images,
            backends.split(",") if backends is not None else None,
            count=count,
            trust=trust,
            progress=progress,
        )

    _emit(result, as_json, _show_backends)
    raise typer.Exit(CHECK_FAILED if result["values_differing"] else OK)


@app.command()
def synth(
    folder: Annotated[
        Path | None, typer.Argument(metavar="BUILD", help="Folder of a build.")
    ] = None,
    node: Annotated[str | None, typer.Option(help="Only the node of this name.")] = None,
    kernel: Annotated[
        str | None, typer.Option(help="A datapath instead of a build: " + ", ".join(api.DATAPATHS))
    ] = None,
    width: Annotated[int, typer.Option(help="Its elements per cycle.")] = 128,
    m: Annotated[int, typer.Option("--m", help="Weight levels besides 0 (pa-*).")] = 4,
    n: Annotated[int, typer.Option("--n", help="Input levels besides 0 (pa-*).")] = 5,
    bits: Annotated[
        int, typer.Option(help="Bits of a level (pa-literal, pa-coded) or code (binary-*).")
    ] = 8,
    primitives: Annotated[
        bool,
        typer.Option("--primitives/--behavioural", help="Explicit LUT6_2 and CARRY4 cells or not."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Synthesise a build, or one datapath, with Yosys: LUTs, flip-flops, block RAM, DSPs.

    Each node of a build by itself, not placed, beside what its op states and the share of an
    xc7z020. Of a datapath: LUTs per multiply-accumulate.

    Example: andpop synth build/steel --node NAME, or andpop synth --kernel xnor-dot --width 256
    """
    if (folder is None) == (kernel is None):
        found = "neither" if folder is None else "both"
        raise UsageError(f"found {found} of BUILD and --kernel, expected one of them")
    with Bars(as_json) as progress:
        if folder is not None:
            result = api.synth(folder, node=node, primitives=primitives, progress=progress)
        else:
            result = api.synth_kernel(
                str(kernel), width, m=m, n=n, bits=bits, primitives=primitives, progress=progress
            )
    _emit(result, as_json, _show_synth if folder is not None else _show_datapath)


def _show_datapath(result: dict[str, Any]) -> None:
    title = f"{result['kernel']}, {result['width']} wide, by Yosys {result['yosys']}, not placed"
    rows: list[tuple[str, object]] = [
        ("LUTs per multiply-accumulate", f"{result['lut_per_mac']:.3f}"),
        ("multiply-accumulates per cycle", result["macs"]),
        ("LUTs", result["lut"]),
        ("flip-flops", result["ff"]),
        ("CARRY4", result["carry4"]),
    ]
    _table(title, ("figure", "value"), rows)


GROUPED = {"StreamingFIFO": "FIFOs", "StreamingDataWidthConverter": "width converters"}
"""Ops that a table sums in one row."""


def _show_synth(result: dict[str, Any]) -> None:
    found = [n for n in result["nodes"] if n["not_synthesised"] is None]
    if found:
        rows = [_resources(n["name"], [n]) for n in found if n["op"] not in GROUPED]
        for op, name in GROUPED.items():
            members = [n for n in found if n["op"] == op]
            if members:
                rows.append(_resources(f"{len(members)} {name}", members))
        share = {key: f"{value:.1%}" for key, value in result["share"].items()}
        rows.append(_resources("sum", found))
        rows.append(
            (f"of an {result['part']}", share["lut"], "", share["ff"], share["bram18"],
             share["dsp"], "")
        )  # fmt: skip
        columns = ("node", "LUT", "memory", "FF", "BRAM36", "DSP", "LUT stated")
        _table(f"Yosys {result['yosys']}, each node by itself, not placed", columns, rows)
    for n in result["nodes"]:
        if n["not_synthesised"] is not None:
            _say(f"not synthesised: {n['name']}: {n['not_synthesised']}", err)


def _resources(name: str, nodes: Sequence[dict[str, Any]]) -> tuple[object, ...]:
    lut, memory, ff, bram, dsp = (
        sum(n[key] for n in nodes) for key in ("lut", "lutram", "ff", "bram18", "dsp")
    )
    stated = sum(n["estimate"]["lut"] for n in nodes)
    return (name, lut, memory, ff, f"{bram / 2:g}", dsp, stated)


@app.command(name="eval")
def evaluate(
    model: Annotated[Path, typer.Argument(help="Build folder, checkpoint or packed model.")],
    data: Annotated[Path, typer.Option("--data", help="Labelled pictures.")],
    backend: Annotated[
        str | None, typer.Option(help="cpu, golden or torch; cpu, real-valued masks torch.")
    ] = None,
    threads: Threads = 1,
    defects: Defects = None,
    as_json: Json = False,
) -> None:
    """Measure accuracy on a labelled folder; of masks also Dice and the rest, by pixels.

    Example: `andpop eval models/zoo/bi-shufflenet-neu.safetensors --data steel/`
    """
    with Bars(as_json) as progress:
        result = api.evaluate(
            model, data, backend=backend, threads=threads, defects=_names(defects),
            progress=progress,
        )  # fmt: skip

    def show(r: dict[str, Any]) -> None:
        _show(tasks.named(r["task"]).show_score(r))
        _show_notes(r)

    _emit(result, as_json, show)


def main() -> None:
    """Run the program; turns errors a user can act on into one line and the right exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a letter of a name gets its number, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=os.environ.get("ANDPOP_LOG", "ERROR").upper())
    if not sys.warnoptions:
        # Hints of libraries to their programmers; python -W default shows them again.
        warnings.simplefilter("ignore")
    try:
        code = app(standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        code = _report(error)
    if code == INTERRUPTED:  # Typer makes an exit of Ctrl-C, and prints nothing
        _say("andpop: interrupted; run the same command again to resume", err)
    sys.exit(code if isinstance(code, int) else OK)


def _report(error: Exception) -> int:
    if isinstance(error, BAD_USAGE):
        if not sys.argv[1:]:
            error.show()  # the help page
        else:
            message = one_line(error.format_message()).rstrip(".")
            _say(f"andpop: {message}; see andpop --help", err)
        return BAD_INPUT
    known = explain(error)
    if known is None:
        raise error
    _say(f"andpop: {known[1]}", err)
    return known[0]


if __name__ == "__main__":
    main()

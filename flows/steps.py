# SPDX-License-Identifier: Apache-2.0
"""The steps of a build, from checkpoint or QONNX to RTL, CPU model and report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx
from qonnx.core.modelwrapper import ModelWrapper

from .. import __version__
from ..hw.cpu.pack import pack
from ..hw.graph import folding, loader
from ..hw.graph.clean import clean
from ..hw.graph.fifo_sizing import load_depths
from ..hw.graph.lowering import lower
from ..hw.graph.pixels import Pixels, declares_raw, pixels_of
from ..hw.graph.qonnx_graph import QonnxGraph
from ..hw.graph.skips import skip_table
from ..hw.graph.specialise import specialise
from ..hw.graph.verify import verify
from ..hw.rtl import simulate as rtl
from ..models.registry import parse
from ..quant.blocks.kbit_activation import HARDWARE_BITS
from ..quant.checkpoint import Card, read_card
from ..sim.cache import scratch
from ..sim.tools import find_compiler, find_tool
from .build import BuildConfig, Context, Step, write_json
from .errors import UsageError
from .masks import reflection
from .models import CHECKPOINT, QONNX, BuildFiles, sha256
from .report import write_report

LOWERED = "lowered.onnx"
PIXEL_KEYS = ("input_scale", "input_mean", "input_std")


def plan(source: Path) -> list[Step]:
    """Return the steps for a source: a checkpoint, or somebody else's QONNX.

    Raises:
        UsageError: the source is neither.
    """
    if source.suffix == CHECKPOINT or source.suffix in (".pth", ".pt", ".ckpt", ".pkl"):
        first = [
            Step(
                "source",
                _copy_checkpoint,
                ("SOURCE", "CARD"),
                ("checkpoint.safetensors", "checkpoint.json"),
                PIXEL_KEYS,
            ),
            Step(
                "export",
                _export,
                ("checkpoint.safetensors", "checkpoint.json"),
                ("model.qonnx.onnx",),
                ("input",),
            ),
        ]
    elif source.suffix == QONNX:
        first = [
            Step(
                "source",
                _import_qonnx,
                ("SOURCE",),
                ("model.qonnx.onnx", "source.json"),
                PIXEL_KEYS,
            ),
            Step("export", _check_qonnx, ("model.qonnx.onnx",), (), ("input",)),
        ]
    else:
        raise UsageError(
            f"{source}: found a {source.suffix or 'suffixless'} file, expected a checkpoint "
            f"({CHECKPOINT}) or QONNX ({QONNX})"
        )
    return [
        *first,
        Step("lower", _lower, ("model.qonnx.onnx",), (LOWERED,)),
        Step(
            "fold",
            _fold,
            (LOWERED,),
            ("dataflow.onnx", "folding.json"),
            ("target_cycles", "target_fps", "clock_mhz", "folding"),
        ),
        Step("pack", _pack, ("dataflow.onnx", "checkpoint.json"), ("model.andpop",)),
        Step("emit", _emit, ("dataflow.onnx",), ("rtl",)),
        Step("size", _size, ("dataflow.onnx",), ("rtl", "fifo.json", "sizing.json")),
        Step(
            "report",
            _report,
            ("dataflow.onnx", "fifo.json", "sizing.json"),
            ("report.json", "report.html"),
            ("input", "target_cycles", "target_fps", "folding", "clock_mhz", "board"),
        ),
    ]


def _copy_checkpoint(context: Context) -> None:
    """Copy checkpoint and card, and refuse early what cannot be built."""
    from ..models.build import load_network

    if context.config.asks_for_pixels:
        raise UsageError(
            f"{context.source}: a checkpoint reads raw pixels 0..255; build it without "
            "--input-scale, --input-mean and --input-std"
        )
    _, card = load_network(context.source)
    _check_integers(context.source, card)
    shutil.copyfile(context.source, context.folder / "checkpoint.safetensors")
    shutil.copyfile(context.source.with_suffix(".json"), context.folder / "checkpoint.json")


def _check_integers(checkpoint: Path, card: Card) -> None:
    """Say why a network has no integers.

    Raises:
        UsageError: it is not frozen.
    """
    if card.frozen:
        return
    config = parse(card.network, card.config)
    if config.real:
        raise UsageError(
            f"{checkpoint}: found a real-valued twin (--kind real), which never becomes integers; "
            f"expected the network trained from it: andpop train {card.network} --start "
            f"{checkpoint.name}"
        )
    if config.code_bits not in HARDWARE_BITS:
        raise UsageError(
            f"{checkpoint}: found activations of {config.code_bits} bits, expected 1 to "
            f"{HARDWARE_BITS[-1]} for integers and hardware; train with a smaller --k"
        )
    raise UsageError(f"{checkpoint}: is not frozen, so it has no integers yet; let training finish")


def export_checkpoint(checkpoint: Path, file: Path, size: tuple[int, int, int] | None) -> list[str]:
    """Write a frozen checkpoint as QONNX at ``size``, or at its card's.

    Returns:
        What the network does to pictures of that size, in words.

    Raises:
        UsageError: the network is not frozen, has other channels than ``size``, or is too deep
            for it.
    """
    from ..models.build import load_network
    from ..quant.export_qonnx import export

    net, card = load_network(checkpoint)
    _check_integers(checkpoint, card)
    height, width, channels = size or (card.input.height, card.input.width, card.input.channels)
    if channels != card.input.channels:
        raise UsageError(
            f"--input: found {channels} channels, expected {card.input.channels} as {checkpoint} "
            "was trained on"
        )
    said = reflection(card.network, card.config, height, width)
    export(net, height, width, channels, file)
    return said


def notes(files: BuildFiles, size: tuple[int, int, int] | None) -> list[str]:
    """What a build does to pictures, in words; of somebody else's file also what it reads of a
    pixel, and what was left out of it."""
    if not files.checkpoint.is_file():
        source = json.loads((files.folder / "source.json").read_text(encoding="utf-8"))
        said = [note for note in source["notes"] if not note.startswith("renamed ")]
        return [source["input"]["note"], *said]
    card = read_card(files.checkpoint)
    height, width = size[:2] if size else (card.input.height, card.input.width)
    return reflection(card.network, card.config, height, width)


def _export(context: Context) -> None:
    export_checkpoint(
        context.folder / "checkpoint.safetensors",
        context.folder / "model.qonnx.onnx",
        context.config.size,
    )


def _import_qonnx(context: Context) -> None:
    """Take somebody else's QONNX through the loader."""
    if not context.source.is_file():
        raise UsageError(f"{context.source}: no such file; expected a QONNX file")
    loaded = loader.load(context.source)
    network = clean(loaded.model)
    channels = network.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    if channels not in (1, 3):
        raise UsageError(
            f"{context.source.name}: found {channels} input channels, expected 1 (grey) or 3 "
            "(RGB): every command reads picture files; train on such pictures"
        )
    pixels = _pixels(network, context.config)
    pixels.note(network)
    # Nothing is known of a foreign network's arithmetic: only equal results are accepted.
    verify(network, lower(network))
    onnx.save(network, context.folder / "model.qonnx.onnx")
    write_json(
        context.folder / "source.json",
        {
            "notes": loaded.notes,
            "renamed": loaded.renamed,
            "input": {**asdict(pixels), "note": pixels.describe()},
        },
    )


def _pixels(network: onnx.ModelProto, config: BuildConfig) -> Pixels:
    """What somebody else's network reads of a pixel: as the options say, else as it tells.

    Raises:
        UsageError: the options contradict what the network declares.
    """
    if not config.asks_for_pixels:
        return pixels_of(network)
    if declares_raw(QonnxGraph(network)):
        raise UsageError(
            "--input-scale: the network declares its input UINT8, raw pixels 0..255; build it "
            "without --input-scale, --input-mean and --input-std"
        )
    return config.pixels


def _check_qonnx(context: Context) -> None:
    """Somebody else's file cannot be exported at another size."""
    if context.config.input is not None:
        raise UsageError("--input: a QONNX file has a size of its own; build it without --input")


def _lower(context: Context) -> None:
    model = specialise(lower(context.folder / "model.qonnx.onnx"))
    model.save(str(context.folder / LOWERED))


def _fold(context: Context) -> None:
    model = ModelWrapper(str(context.folder / LOWERED))
    if context.config.folding is not None:
        target: Any = folding.read_folding(Path(context.config.folding))
    else:
        _, height, width, _ = model.get_tensor_shape(model.graph.input[0].name)
        target = context.config.cycles(height, width)
    folding.fold(model, target)
    folding.write_folding(model, context.folder / "folding.json")
    model.save(str(context.folder / "dataflow.onnx"))


def _card(folder: Path) -> dict[str, Any] | None:
    files = BuildFiles(folder)
    card = files.checkpoint.with_suffix(".json")
    if not card.is_file():
        return None
    values: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
    return {**values, "checkpoint_sha256": sha256(files.checkpoint)}


def _pack(context: Context) -> None:
    files = BuildFiles(context.folder)
    pack(files.dataflow, _card(context.folder), files.packed)


def compile_checkpoint(checkpoint: Path, target: Path) -> None:
    """Compile a checkpoint into a packed CPU model, at its card's input size."""
    with scratch("pack") as folder:
        files = BuildFiles(folder)
        shutil.copyfile(checkpoint, files.checkpoint)
        shutil.copyfile(checkpoint.with_suffix(".json"), files.checkpoint.with_suffix(".json"))
        export_checkpoint(files.checkpoint, files.qonnx, None)
        lower(files.qonnx).save(str(files.dataflow))
        pack(files.dataflow, _card(folder), target)


def _emit(context: Context) -> None:
    files = BuildFiles(context.folder)
    rtl.emit(ModelWrapper(str(files.dataflow)), files.rtl)


def check_simulator() -> None:
    """Look for Verilator and the C++ compiler before minutes go into a build that needs them.

    Raises:
        ToolMissing: one of them is missing or too old.
    """
    find_tool()
    find_compiler()


def _size(context: Context) -> None:
    """FIFO depths by simulation: they change fifo.json, and rtl/ with it."""
    files = BuildFiles(context.folder)

    stage, total = "sizing FIFOs", 2 * rtl.SIZING_FRAMES
    before = latest = 0

    def report(state: dict[str, int]) -> None:
        nonlocal before, latest
        if state["frames_out"] < latest:  # the second run counts from zero again
            before = rtl.SIZING_FRAMES
        latest = state["frames_out"]
        # A deep network is fed more frames than the least, which nobody knows beforehand.
        context.progress(stage, min(before + latest, total), total)

    context.progress(f"{stage}: compiling", 0, total)
    sizing = rtl.size_fifos(files.rtl, progress=report)
    context.progress(stage, total, total)
    shutil.copyfile(files.rtl / rtl.FIFO_FILE, files.fifos)
    write_json(
        context.folder / "sizing.json",
        {
            "interval": sizing.interval,
            "stated": sizing.stated,
            "slowest": sizing.slowest,
            "bits": sizing.bits,
        },
    )


def slowest(files: BuildFiles) -> dict[str, Any] | None:
    """The node with the most stated cycles per frame, None before folding."""
    if not files.dataflow.is_file():
        return None
    name, cycles = max(
        folding.cycles(ModelWrapper(str(files.dataflow))).items(), key=lambda i: i[1]
    )
    return {"name": name, "cycles": cycles}


PACKAGES = ("brevitas", "torch", "onnx", "qonnx", "finn-plus", "verilator", "numpy")


def _versions() -> dict[str, str]:
    found = {"andpop": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _report(context: Context) -> None:
    files = BuildFiles(context.folder)
    model = ModelWrapper(str(files.dataflow))
    cycles = folding.cycles(model)
    card = _card(context.folder)
    clock = context.config.clock_mhz
    worst = max(cycles, key=lambda name: cycles[name])
    sizing = json.loads((context.folder / "sizing.json").read_text(encoding="utf-8"))
    fifos = load_depths(files.fifos)
    ops = {node.name: node.op_type for node in model.graph.node}
    report = {
        "network": card["network"] if card else "QONNX",
        "input": list(model.get_tensor_shape(model.graph.input[0].name))[1:],
        "source": context.source.name,
        "source_sha256": sha256(context.source),
        "board": context.config.board,
        "clock_mhz": clock,
        "cycles": {
            "nodes": [{"name": n, "op": ops[n], "cycles": c} for n, c in cycles.items()],
            "slowest": {"name": worst, "cycles": cycles[worst]},
            "fps": clock * 1e6 / sizing["interval"],
        },
        "implementations": [
            {"name": name, "implementation": chosen, "luts": luts}
            for name, (chosen, luts) in folding.implementations(model).items()
        ],
        "sizing": sizing,
        "fifos": [asdict(fifo) for fifo in fifos],
        "skips": skip_table(model, fifos),
        "versions": _versions(),
        "trained": _trained(card),
        "commands": _commands(context),
        "synthetic": False,
        "backends": [],
        "predictions": [],
        "simulation": None,
    }
    write_json(files.report, report)
    write_report(context.folder / "report.html", report)


def _trained(card: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the card says about accuracy and the picture size it holds for."""
    if card is None:
        return None
    size = card["input"]
    return {
        "accuracy": card["accuracy"],
        "dice": card.get("dice"),
        "validation_pictures": card["validation_pictures"],
        "input": [size["height"], size["width"], size["channels"]],
    }


def _commands(context: Context) -> list[str]:
    """How to build this again, and what to do with the build."""
    values = context.config.model_dump(exclude_defaults=True, exclude={"until"})
    options = "".join(f" --{k.replace('_', '-')} {v}" for k, v in values.items())
    return [
        f"andpop build {context.source.name} --out BUILD{options}",
        "andpop simulate BUILD --images PICTURES",
        "andpop compare BUILD --images PICTURES --backends torch,golden,cpu,rtl",
        "andpop infer BUILD --images PICTURES",
    ]


def finish_report(
    files: BuildFiles,
    predictions: Sequence[dict[str, Any]],
    comparison: dict[str, Any],
    simulation: dict[str, Any] | None,
    synthetic: bool,
) -> None:
    """Add predictions (with pictures as URIs), comparison and simulation to a build's report."""
    report = json.loads(files.report.read_text(encoding="utf-8"))
    report["synthetic"] = synthetic
    report["backends"] = comparison["backends"]
    report["predictions"] = list(predictions)
    report["simulation"] = simulation and {
        key: simulation[key] for key in ("cycles_per_frame", "interval", "sim_cycles_per_second")
    }
    write_report(files.folder / "report.html", report)

# SPDX-License-Identifier: Apache-2.0
"""The steps of a build, from checkpoint or QONNX to RTL, CPU model and report."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
from qonnx.core.modelwrapper import ModelWrapper

from ..hw import boards
from ..hw.cpu.pack import pack
from ..hw.cpu.plan import ModelError
from ..hw.graph import folding, loader
from ..hw.graph.clean import clean
from ..hw.graph.finn_graph import finn_graph
from ..hw.graph.heads import write_kinds
from ..hw.graph.lowering import lower
from ..hw.graph.pixel_scaling import absorb, drop_wide_quantiser
from ..hw.graph.pixels import READS, Pixels, declared_of, pixels_of
from ..hw.graph.qonnx_graph import QonnxGraph
from ..hw.graph.specialise import specialise
from ..hw.graph.verify import verify
from ..hw.rtl import simulate as rtl
from ..hw.rtl import sizing
from ..hw.rtl.runs import FIFO_FILE
from ..hw.targets import vectors
from ..quant.files import write_json
from ..sim.tools import find_compiler, find_tool
from . import report_content
from .backends.golden import Golden
from .build import Context, Step
from .build_notes import of_input, of_outputs
from .class_names import read_class_names
from .compile import card_inside, check_integers, export_checkpoint
from .config import BuildConfig
from .coverage import output_alone
from .errors import UsageError
from .files import CHECKPOINT, QONNX, BuildFiles
from .fitting import fit_to_board, read_fit, settle, write_fit

FILES = BuildFiles(Path())
"""Names of the files that steps read and write."""
BOARD_KEYS = ("board", "lut_share", "bram_share", "dsp_share")
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
                (FILES.checkpoint.name, FILES.card.name),
                PIXEL_KEYS,
            ),
            Step(
                "export",
                _export,
                (FILES.checkpoint.name, FILES.card.name),
                (FILES.qonnx.name,),
                ("input",),
            ),
        ]
    elif source.suffix == QONNX:
        first = [
            Step(
                "source",
                _import_qonnx,
                ("SOURCE",),
                (FILES.qonnx.name, FILES.source.name),
                PIXEL_KEYS,
            ),
            Step("export", _check_qonnx, (FILES.qonnx.name,), (), ("input",)),
        ]
    else:
        raise UsageError(
            f"{source}: found a {source.suffix or 'suffixless'} file, expected a checkpoint "
            f"({CHECKPOINT}) or QONNX ({QONNX})"
        )
    return [
        *first,
        Step("lower", _lower, (FILES.qonnx.name,), (FILES.lowered.name,), ("board",)),
        Step(
            "fold",
            _fold,
            (FILES.lowered.name,),
            (FILES.dataflow.name, FILES.folding.name, FILES.fit.name),
            ("fuse", "share", "target_cycles", "target_fps", "clock_mhz", "folding", *BOARD_KEYS),
        ),
        Step(
            "pack",
            _pack,
            (FILES.lowered.name, FILES.card.name),
            (FILES.packed.name,),
            ("classes",),
        ),
        Step("emit", _emit, (FILES.dataflow.name,), (FILES.rtl.name,), ("board", "clock_mhz")),
        Step(
            "size",
            _size,
            (FILES.dataflow.name,),
            (FILES.rtl.name, FILES.fifos.name, FILES.sizing.name, FILES.finn.name),
            BOARD_KEYS,
        ),
        Step("vectors", _vectors, (FILES.lowered.name,), (FILES.vectors.name,)),
        Step(
            "report",
            report_content.write_first,
            (FILES.dataflow.name, FILES.fit.name, FILES.fifos.name, FILES.sizing.name),
            (FILES.report.name, FILES.page.name),
            (
                "input",
                "fuse",
                "share",
                "target_cycles",
                "target_fps",
                "folding",
                "clock_mhz",
                *BOARD_KEYS,
            ),  # fmt: skip
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
    check_integers(context.source, card)
    shutil.copyfile(context.source, context.files.checkpoint)
    shutil.copyfile(context.source.with_suffix(".json"), context.files.card)


def _export(context: Context) -> None:
    export_checkpoint(
        context.files.checkpoint,
        context.files.qonnx,
        context.config.size,
    )


def _import_qonnx(context: Context) -> None:
    """Take somebody else's QONNX through the loader."""
    loaded, network, pixels = read_foreign(context.source, context.config)
    # Nothing is known of a foreign network's arithmetic: only equal results are accepted.
    graph = lower(network)
    verify(network, graph)
    onnx.save(network, context.files.qonnx)
    write_json(
        context.files.source,
        {
            "notes": [*loaded.notes, *of_input(network, pixels), *of_outputs(graph)],
            "renamed": loaded.renamed,
            "input": {**asdict(pixels), "note": pixels.describe()},
        },
    )


def read_foreign(
    source: Path, config: BuildConfig
) -> tuple[loader.LoadedModel, onnx.ModelProto, Pixels]:
    """Read somebody else's QONNX: as it was found, cleaned, and what it reads of a pixel."""
    loaded = load_foreign(source, config)
    network = clean(loaded.model, notes=loaded.notes)
    return loaded, network, note_pixels(loaded, network, config)


def load_foreign(source: Path, config: BuildConfig) -> loader.LoadedModel:
    """Read somebody else's QONNX, as it was found."""
    if not source.is_file():
        raise UsageError(f"{source}: no such file; expected a QONNX file")
    loaded = loader.load(source)
    if config.outputs == "numbers":
        write_kinds(loaded.model, {value.name: "raw" for value in loaded.model.graph.output})
    return loaded


def note_pixels(
    loaded: loader.LoadedModel, network: onnx.ModelProto, config: BuildConfig
) -> Pixels:
    """Write into a cleaned network what it reads of a pixel, and return that."""
    given = _pixels(network, config)
    pixels = absorb(network, given)
    gone = drop_wide_quantiser(network, pixels)
    loaded.notes.extend([gone] if gone else [])
    pixels.note(network)
    given.note(network, READS)
    return pixels


def _pixels(network: onnx.ModelProto, config: BuildConfig) -> Pixels:
    """What somebody else's network reads of a pixel: as the options say, else as it tells.

    Raises:
        UsageError: the options contradict what the network declares.
    """
    if not config.asks_for_pixels:
        return pixels_of(network)
    known = declared_of(QonnxGraph(network))
    if known is not None:
        raise UsageError(
            f"--input-scale: the network says itself what it reads ({known.why}); build it without "
            "--input-scale, --input-mean and --input-std"
        )
    return config.pixels


def _check_qonnx(context: Context) -> None:
    """Somebody else's file cannot be exported at another size."""
    if context.config.input is not None:
        raise UsageError("--input: a QONNX file has a size of its own; build it without --input")


def _lower(context: Context) -> None:
    board = boards.find(context.config.board)
    model = specialise(lower(context.files.qonnx), board.part)
    model.save(str(context.files.lowered))


def _fold(context: Context) -> None:
    """Make the hardware's graph of the lowered one: nodes fused, lanes and memories chosen."""
    found = fit_to_board(context)
    folding.write_folding(found.model, context.files.folding)
    write_fit(found, context.files.fit)
    found.model.save(str(context.files.dataflow))


def _pack(context: Context) -> None:
    files = context.files
    file = context.config.classes
    names = None if file is None else read_class_names(Path(file))
    try:
        pack(files.lowered, card_inside(context.folder), files.packed, names)
    except ModelError as error:
        if file is None:
            raise
        raise UsageError(f"{file}: {error}") from error


def _emit(context: Context) -> None:
    files = context.files
    board = boards.find(context.config.board)
    rtl.emit(ModelWrapper(str(files.dataflow)), files.rtl, board, context.config.clock_mhz)


def check_simulator() -> None:
    """Look for Verilator and the C++ compiler before minutes go into a build that needs them.

    Raises:
        ToolMissing: one of them is missing or too old.
    """
    find_tool()
    find_compiler()


def _size(context: Context) -> None:
    """FIFO depths by simulation: they change fifo.json, rtl/ and the graph for FINN."""
    files = context.files

    stage = "sizing FIFOs"
    context.progress(f"{stage}: compiling", 0, 1)
    found = sizing.size_fifos(
        files.rtl, progress=lambda done, total: context.progress(stage, done, total)
    )
    settle(context)
    shutil.copyfile(files.rtl / FIFO_FILE, files.fifos)
    finn_graph(ModelWrapper(str(files.rtl / "stitched.onnx"))).save(str(files.finn))
    write_json(
        context.files.sizing,
        {
            "interval": found.interval,
            "stated": found.stated,
            "slowest": found.slowest,
            "bits": found.bits,
            "everywhere": found.everywhere,
            "late": found.late,
        },
    )


def _vectors(context: Context) -> None:
    """Store pictures and golden results, with which a board is tested."""
    files = context.files
    golden = Golden(files)
    heads = [head.tensor for head in golden.heads]
    pictures = vectors.draw(*golden.shape)
    found = golden.tensors(pictures)
    seen = output_alone("board", golden.model, "a board gives its results alone")
    vectors.write(
        files.vectors,
        vectors.Vectors(
            pictures,
            tuple(found[name] for name in heads),
            tuple(seen.distinct[name] for name in heads),
            len(seen.order),
            [gap.as_json() for gap in seen.gaps],
        ),
    )


def slowest(files: BuildFiles) -> dict[str, Any] | None:
    """The node with the most stated cycles per frame, None before folding."""
    if not files.dataflow.is_file():
        return None
    name, cycles = max(
        folding.cycles(ModelWrapper(str(files.dataflow))).items(), key=lambda i: i[1]
    )
    return {"name": name, "cycles": cycles}


def fit(files: BuildFiles, until: str | None) -> dict[str, Any] | None:
    """What the build takes of its board, FIFOs as sized where a report was made; None before
    folding."""
    if until in (None, "report"):
        found: dict[str, Any] = json.loads(files.report.read_text(encoding="utf-8"))["fit"]
        return found
    return read_fit(files.fit)

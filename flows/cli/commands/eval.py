# SPDX-License-Identifier: Apache-2.0
"""``andpop eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ....quant.masks import FIGURES
from ... import api
from ..options import Defects, Group, Json, Model, Threads, names
from ..results import show_notes
from ..terminal import Bars, emit, out, table

GROUP = Group.NETWORKS


def command(
    model: Model,
    data: Annotated[Path, typer.Option("--data", help="Folder of labelled pictures.")],
    backend: Annotated[
        str | None,
        typer.Option(
            help="What runs the network: cpu, golden or torch; cpu by default, torch for masks of "
            "real values."
        ),
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
            model, data, backend=backend, threads=threads, defects=names(defects),
            progress=progress,
        )  # fmt: skip
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    if "dice" in result:
        _show_masks(result)
    else:
        right = f"{result['correct']} of {result['n']} pictures right"
        out.print(f"{right}: accuracy {result['accuracy']:.4f}")
        rows = [(c, v["n"], f"{v['accuracy']:.4f}") for c, v in result["per_class"].items()]
        table("Per class", ("class", "pictures", "accuracy"), rows)
    show_notes(result)


def _show_masks(result: dict[str, Any]) -> None:
    columns = {"all": result, **result["per_class"]}
    rows: list[list[object]] = [["pictures", *(column["n"] for column in columns.values())]]
    for name in FIGURES:
        values = (column[name] for column in columns.values())
        rows.append([name, *("-" if value is None else f"{value:.4f}" for value in values)])
    table("Pixels of the masks", ("", *columns), rows)

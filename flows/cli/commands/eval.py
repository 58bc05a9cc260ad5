# SPDX-License-Identifier: Apache-2.0
"""``andpop eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ....quant import tasks
from ... import api
from ..options import Defects, Group, Json, Model, Threads, names
from ..results import show, show_notes
from ..terminal import Bars, emit

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
    show(tasks.named(result["task"]).show_score(result))
    show_notes(result)

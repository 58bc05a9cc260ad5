# SPDX-License-Identifier: Apache-2.0
"""``andpop infer``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ....quant import tasks
from ... import api
from ..options import Group, Images, Json, Masks, Model, Threads
from ..results import show, show_notes
from ..terminal import Bars, emit

GROUP = Group.NETWORKS


def command(
    model: Model,
    images: Images,
    backend: Annotated[
        str | None,
        typer.Option(help="What runs a network of masks: cpu, golden or torch; cpu by default."),
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
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    show(tasks.named(result["task"]).show_predictions(result["predictions"]))
    show_notes(result)

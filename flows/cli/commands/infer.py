# SPDX-License-Identifier: Apache-2.0
"""``andpop infer``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ....quant.names import printable
from ... import api
from ..options import Group, Images, Json, Masks, Model, Threads
from ..results import show_defects, show_notes
from ..terminal import Bars, emit, out

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
    if "share" in result["predictions"][0]:
        show_defects(result)
    else:
        for p in result["predictions"]:
            out.print(f"{printable(p['picture'])}\t{printable(p['class'])}", soft_wrap=True)
    show_notes(result)

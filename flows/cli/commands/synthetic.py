# SPDX-License-Identifier: Apache-2.0
"""``andpop synthetic``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ... import api
from ...config import MOST_SIDE
from ..options import Group, Json
from ..terminal import Bars, emit, say, table

GROUP = Group.START


def command(
    folder: Annotated[Path, typer.Option("--out", help="Folder to make; empty if it exists.")],
    count: Annotated[int, typer.Option(min=1, max=100_000, help="Pictures of each class.")] = 100,
    size: Annotated[
        int, typer.Option(min=16, max=MOST_SIDE, help="Side of the pictures in pixels.")
    ] = 64,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=(1 << 32) - 1, help="Decides every picture: another seed, other pictures."
        ),
    ] = 0,
    masks: Annotated[
        bool,
        typer.Option(
            "--masks", help="Draw masks of the defects too, for networks of masks (u-binet)."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Draw steel surfaces with six kinds of defect: a labelled folder that needs no download.

    Each class is a folder of PNG, which train, eval and infer read. With `--masks` the layout is
    that of Magnetic Tile, and one of the four classes has no defect.

    Example: `andpop synthetic --out surfaces --count 400`
    """
    with Bars(as_json) as progress:
        result = api.synthetic(
            folder, count=count, size=size, seed=seed, masks=masks, progress=progress
        )
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    rows = list(result["classes"].items())
    side = result["size"]
    table(str(result["folder"]), ("class", "pictures"), rows)
    network = "u-binet" if result["masks"] else "bi-shufflenet"
    say(
        f"Train on them: andpop train {network} --data {result['folder']} "
        f"--input {side}x{side}x1 --out {network}.safetensors"
    )

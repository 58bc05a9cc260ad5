# SPDX-License-Identifier: Apache-2.0
"""``andpop compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import api
from ...errors import CHECK_FAILED, OK
from ..options import Build, Count, Group, Images, Json, Trust
from ..results import show_backends
from ..terminal import Bars, emit

GROUP = Group.HARDWARE


def command(
    folder: Build,
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
    emit(result, as_json, show_backends)
    raise typer.Exit(CHECK_FAILED if result["values_differing"] else OK)

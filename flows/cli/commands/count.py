# SPDX-License-Identifier: Apache-2.0
"""``andpop count``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ....models import registry
from ... import api
from ...config import parse_size
from ..networks import as_config
from ..options import Group, Json, Network
from ..switches import Switch, of_model
from ..terminal import emit, table

GROUP = Group.NETWORKS


def switches(network: str | None) -> list[Switch]:
    """Return the switches of a network; its number of channels is part of ``--input``."""
    if network is None:
        return []
    return of_model(registry.get(network).config, leave_out=("channels",))


def command(
    model: Network,
    size: Annotated[
        str,
        typer.Option(
            "--input", metavar="HxWxC", help="Height, width and channels, e.g. 224x224x3."
        ),
    ],
    real_down: Annotated[
        bool, typer.Option(help="With --kind 1-bit: down-sampling of real weights, as Bi-Real's.")
    ] = False,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Count parameters, operations and memory by the papers' conventions.

    Shortcuts and their pool change no figure.

    Example: `andpop count pa-resnet18 --input 224x224x3`
    """
    config = as_config(model, switches, given)
    result = api.count(model, parse_size(size), config, real_down=real_down)

    def show(r: dict[str, Any]) -> None:
        rows = [(key.replace("_", " "), value) for key, value in r.items()]
        table(f"{model} at {size}", ("figure", "value"), rows)

    emit(result, as_json, show)

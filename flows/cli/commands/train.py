# SPDX-License-Identifier: Apache-2.0
"""``andpop train``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ....models import registry
from ... import api
from ...config import parse_size
from ...facts import task_of_network
from ..networks import as_config
from ..options import Defects, Group, Json, Network, names
from ..results import show_notes
from ..switches import Switch, of_dataclass, of_model
from ..terminal import Bars, emit, say

GROUP = Group.NETWORKS


def switches(network: str | None) -> list[Switch]:
    """Return the recipe of a network and its switches; its classes are those of the pictures."""
    if network is None:
        return _recipe("Recipe, whose defaults are the network's own", None)
    spec = registry.get(network)
    own = of_model(spec.config, leave_out=("channels", "classes"))
    return [*_recipe(f"Recipe of {network}", spec.recipe), *own]


def _recipe(panel: str, defaults: Mapping[str, Any] | None) -> list[Switch]:
    """Return the options of the recipe, without defaults for None."""
    from ....quant.training.recipe import Options

    if defaults is None:
        defaults = {field.name: None for field in fields(Options)}
    # What it starts from is --start, of which the recipe keeps the digest.
    made = of_dataclass(Options, defaults, leave_out=("start",), flag=_flag)
    return [replace(switch, panel=panel) for switch in made]


def _flag(name: str) -> str:
    return "--" + name.replace("learning_rate", "lr").replace("_", "-")


def command(
    model: Network,
    data: Annotated[Path, typer.Option("--data", help="Folder of labelled pictures.")],
    checkpoint: Annotated[Path, typer.Option("--out", help="Checkpoint to write (.safetensors).")],
    size: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="HxWxC",
            help="Height, width and channels that pictures are brought to.",
        ),
    ] = "128x128x1",
    validation: Annotated[
        float, typer.Option(help="Share of the pictures that is kept for validation.")
    ] = 0.2,
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Real-valued or unfrozen checkpoint to start from."),
    ] = None,
    defects: Defects = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Train a network on a picture folder; interrupt and run again to resume.

    Writes the frozen checkpoint, its card (.json), metrics and a curve picture, for masks also
    pictures of them beside the truth. A real-valued network (--kind real) is written as it was
    trained.

    Example: `andpop train bi-shufflenet --data steel/ --out steel.safetensors`
    """
    config = as_config(model, switches, given)
    recipe = {s.paths[0][0] for s in _recipe("", None)}
    with Bars(as_json) as progress:
        result = api.train(
            model,
            data,
            checkpoint,
            size=parse_size(size),
            config={name: value for name, value in config.items() if name not in recipe},
            recipe={name: value for name, value in config.items() if name in recipe},
            validation=validation,
            defects=names(defects),
            start=start,
            command=" ".join(["andpop", *sys.argv[1:]]),
            progress=progress,
        )
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    card = result["card"]
    known = {**card, "input": list(card["input"].values())}
    task = task_of_network(card["network"])
    say(f"{result['checkpoint']}: {card['network']} {task.trained(known)}")
    if not card["frozen"]:
        say("It is real-valued: start a quantised network from it with --start.")
    show_notes(result)

# SPDX-License-Identifier: Apache-2.0
"""The list of networks. Everything else about a network stands in its own file.

This file needs no PyTorch, the files of the networks do: ``names`` and ``task`` answer the commands
that run without it, everything else imports the network's file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from .network import Network, NetworkConfig


class Line(NamedTuple):
    """What is known of a network without PyTorch.

    Attributes:
        file: module of this package whose ``NETWORKS`` holds the network.
        task: what it is for, a name in ``quant.tasks.TASKS``.
    """

    file: str
    task: str


LINES: dict[str, Line] = {
    "bi-shufflenet": Line("bi_shufflenet", "classification"),
    "pa-resnet-small": Line("pa_resnet", "classification"),
    "pa-resnet18": Line("pa_resnet", "classification"),
    "pa-resnet34": Line("pa_resnet", "classification"),
    "pa-resnet50": Line("pa_resnet", "classification"),
    "u-binet": Line("u_binet", "masks"),
}
"""Every network by name."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network as its file registers it.

    Attributes:
        config: model of the configuration; each field is a switch.
        module: makes the network, with initial weights, of a configuration.
        recipe: fields of ``quant.training.recipe.Options`` that differ from their defaults.
    """

    config: type[NetworkConfig]
    module: Callable[[Any], Network]
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def switches(self) -> dict[str, FieldInfo]:
        """Fields of the configuration but the two that pictures and data set decide."""
        fields = self.config.model_fields
        return {name: f for name, f in fields.items() if name not in ("channels", "classes")}


def names() -> tuple[str, ...]:
    """Return the name of every network."""
    return tuple(LINES)


def task(name: str) -> str | None:
    """Return the task of a network, None if there is no such network."""
    line = LINES.get(name)
    return None if line is None else line.task


def get(name: str) -> NetworkSpec:
    """Import a network's file, and with it PyTorch.

    Raises:
        ValueError: unknown network.
    """
    if name not in LINES:
        raise ValueError(f"found network {name!r}, expected one of: {', '.join(LINES)}")
    networks: Mapping[str, NetworkSpec] = import_module(
        f".{LINES[name].file}", __package__
    ).NETWORKS
    return networks[name]


def parse(name: str, config: Mapping[str, Any]) -> NetworkConfig:
    """Return the checked configuration of a network; missing fields take their defaults.

    Raises:
        ValueError: unknown network or an invalid configuration.
    """
    spec = get(name)
    try:
        return spec.config(**config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("config", *first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] != "value_error":
            message = f"found {first['input']!r}: {message}"
        if first["type"] == "extra_forbidden":
            message += f"; it has {', '.join(spec.switches)}"
        raise ValueError(f"{name}: {where}: {message}") from error

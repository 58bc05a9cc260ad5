# SPDX-License-Identifier: Apache-2.0
"""Commands whose options are those of the network that their first argument names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from ...models import registry
from ..errors import require
from .switches import Switch, with_options

HELP = {"--help", "-h"}

SwitchesOf = Callable[[str | None], list[Switch]]
"""Name of a network -> its switches; None -> those that all networks share."""


def network_command(
    function: Callable[..., None], switches: SwitchesOf
) -> tuple[type[TyperCommand], Callable[..., None]]:
    """Return the class of a command with the switches of one network, and its function.

    Without a network's name the help shows what all networks share. A switch of another network is
    taken, and refused by the configuration, which says what is wrong.
    """

    class NetworkCommand(TyperCommand):
        def make_context(
            self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
        ) -> Any:
            if set(args) <= HELP:
                return self.of_network(None, ()).make_context(info_name, args, parent, **extra)
            require(str(info_name), "torch", "brevitas")
            others = [switch for name in registry.names() for switch in switches(name)]
            any_network = self.of_network(None, others)
            peek = any_network.make_context(info_name, [*args], parent, resilient_parsing=True)
            name = peek.params.get("model")
            command = self.of_network(name, others) if name in registry.names() else any_network
            return command.make_context(info_name, args, parent, **extra)

        def of_network(self, name: str | None, others: Sequence[Switch]) -> Any:
            """Return the command that shows the switches of a network and takes others too."""
            app = typer.Typer(
                add_completion=False,
                rich_markup_mode=self.rich_markup_mode,
                context_settings=dict(self.context_settings),
            )
            app.command(self.name, help=self.help, epilog=None if name else self.epilog)(
                with_options(function, switches(name), others, f"Switches of {name}")
            )
            return typer.main.get_command(app)

    return NetworkCommand, with_options(function, (), (), "")


def as_config(network: str, switches: SwitchesOf, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the given switches set, models in models as dictionaries.

    Args:
        network: decides which field a switch sets.
        switches: those of a network.
        given: values by names of parameters; those of other networks stay what they are, for the
            configuration to refuse.

    Raises:
        UsageError: see ``Switch.values``.
    """
    known = switches(network) if network in registry.names() else []
    own = {switch.name: switch for switch in known}
    config: dict[str, Any] = {}
    for name, text in given.items():
        pairs = own[name].values(text) if name in own else [((name,), text)]
        for path, value in pairs:
            place = config
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = value
    return config

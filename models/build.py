# SPDX-License-Identifier: Apache-2.0
"""A name and a configuration, or a checkpoint, in; a PyTorch module out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..quant import checkpoint
from ..quant.blocks.block import check
from ..quant.checkpoint import Card, CheckpointError
from .network import Network
from .registry import get, parse


def build(network: str, config: Mapping[str, Any]) -> Network:
    """Return a new network with initial weights from torch's current seed.

    Args:
        network: a name of ``registry.LINES``.
        config: fields of the network's configuration; missing ones take their defaults.

    Raises:
        ValueError: unknown network or an invalid configuration.
    """
    return get(network).module(parse(network, config))


def save_network(net: nn.Module, path: Path, card: Card) -> None:
    """Write a network and its card (see ``quant.checkpoint.write``).

    Raises:
        CheckpointError: the card contradicts the network, or see ``quant.checkpoint.write``.
    """
    if bool(getattr(net, "frozen", False)) != card.frozen:
        raise CheckpointError(f"{path}: card says frozen={card.frozen}, the network is not so")
    tensors = {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}
    checkpoint.write(path, tensors, card)


def load_network(path: Path) -> tuple[Network, Card]:
    """Read a checkpoint into a network in evaluation mode.

    Raises:
        CheckpointError: see ``quant.checkpoint.read``; or card and tensors disagree.
    """
    tensors, card = checkpoint.read(path)
    where = checkpoint.card_path(path)
    try:
        net = build(card.network, card.config)
    except ValueError as error:
        raise CheckpointError(f"{where}: {error}") from error
    for what, found, expected in (
        ("classes", len(card.classes), net.config.classes),
        ("input.channels", card.input.channels, net.config.channels),
    ):
        if found != expected:
            raise CheckpointError(f"{where}: {what}: found {found}, config says {expected}")
    if card.frozen:
        net.freeze()
    _fill(net, {name: torch.from_numpy(value) for name, value in tensors.items()}, path)
    return net.eval(), card


def start_from(net: Network, path: Path) -> Card:
    """Copy the weights and statistics of a trained network of the same layers; return its card.

    PA levels are copied where their numbers agree and otherwise stay as they are, so a real-valued
    twin starts a network of any M and N.

    Raises:
        CheckpointError: see ``load_network``; or it is frozen, or of other layers.
    """
    trained, card = load_network(path)
    if card.frozen:
        raise CheckpointError(
            f"{path}: found a frozen network, expected one that can still be trained (--kind real)"
        )
    found, wanted = trained.state_dict(), net.state_dict()
    differing = [
        name
        for name in (*wanted, *found)
        if name not in found or name not in wanted or found[name].shape != wanted[name].shape
    ]
    for name in differing:
        if ".levels." not in name:
            raise CheckpointError(
                f"{path}: tensor {name} is not the same in this network and the one to train; "
                "start from the same network with the same switches"
            )
    net.load_state_dict(
        {name: value for name, value in found.items() if name not in differing}, strict=False
    )
    return card


def _fill(net: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copy tensors into a network whose names and shapes must be exactly theirs."""
    expected = net.state_dict()
    for name in (*expected, *tensors):
        if name not in tensors or name not in expected:
            there, missing = ("card", "file") if name not in tensors else ("file", "card")
            raise CheckpointError(
                f"{path}: tensor {name} is in the {there}'s network, not in the {missing}'s; "
                "use the card written with this file"
            )
        if tensors[name].shape != expected[name].shape:
            raise CheckpointError(
                f"{path}: tensor {name} has shape {tuple(tensors[name].shape)}, the card's network "
                f"needs {tuple(expected[name].shape)}; use the card written with this file"
            )
    net.load_state_dict(dict(tensors))
    try:
        check(net)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error

# SPDX-License-Identifier: Apache-2.0
"""The list of networks: a name and a configuration in, a PyTorch module out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from torch import nn

from .bi_shufflenet import BiShuffleNet, BiShuffleNetConfig


def build(network: str, config: Mapping[str, Any]) -> nn.Module:
    """Return a new network with its seeded initial weights.

    Args:
        network: ``"bi-shufflenet"``.
        config: fields of the network's configuration; missing ones take their defaults.

    Raises:
        ValueError: unknown network or an invalid configuration.
    """
    if network != "bi-shufflenet":
        raise ValueError(f"found network {network!r}, expected one of: bi-shufflenet")
    try:
        return BiShuffleNet(BiShuffleNetConfig(**config))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{network}: config.{where}: {first['msg']}") from error

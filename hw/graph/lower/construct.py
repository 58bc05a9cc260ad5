# SPDX-License-Identifier: Apache-2.0
"""What a pattern says of itself for users: a row of the table of what can be built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Construct:
    """Something that a network may have."""

    ops: tuple[str, ...]
    """Ops of a network that its handlers are asked about."""
    what: str
    datatypes: str
    kernels: tuple[str, ...]
    """Folders of `hw/kernels` that it becomes."""
    limits: str

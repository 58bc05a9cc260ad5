# SPDX-License-Identifier: Apache-2.0
"""The patterns of the lowering: one idea per module, one line each in ``PATTERNS``.

A module's ``HANDLERS`` says which function lowers which op of a network. Where several modules
take an op, they are asked in the order of the list until one does. Its ``BUILDS`` says the same to
users: ``python -m andpop.hw.graph.constructs FILE`` writes the table of all.
"""

from __future__ import annotations

from importlib import import_module

from .construct import Construct
from .state import Handler

PATTERNS: tuple[str, ...] = (
    "weights",
    "sign",
    "epilogue",
    "residual",
    "adding",
    "thresholds",
    "reflection",
    "padding",
    "cropping",
    "convolution",
    "transposed",
    "levels",
    "pooling",
    "shuffle",
    "concat",
    "split",
    "sums",
    "dense",
    "interleaving",
    "upsampling",
    "flattening",
)


def handlers() -> dict[str, list[Handler]]:
    """Return the handlers of every op, in the order in which they are asked."""
    table: dict[str, list[Handler]] = {}
    for name in PATTERNS:
        for op, handler in import_module(f".{name}", __package__).HANDLERS.items():
            table.setdefault(op, []).append(handler)
    return table


def constructs() -> list[Construct]:
    """Return what networks may have, in the order of the patterns."""
    return [
        construct
        for name in PATTERNS
        for construct in import_module(f".{name}", __package__).BUILDS
    ]

# SPDX-License-Identifier: Apache-2.0
"""The patterns of the lowering: one idea per module, one line each in ``PATTERNS``.

A module's ``HANDLERS`` says which function lowers which op of a network. Where several modules
take an op, they are asked in the order of the list until one does.
"""

from __future__ import annotations

from importlib import import_module

from .state import Handler

PATTERNS: tuple[str, ...] = (
    "weights",
    "sign",
    "epilogue",
    "residual",
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
    "global_sum",
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

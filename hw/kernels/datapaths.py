# SPDX-License-Identifier: Apache-2.0
"""Single datapaths to synthesise: a kernel's ``datapath.py`` lists the ones that it is made of.

FINN is not needed: ``andpop synth --kernel`` works without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from . import KERNELS


class Sizes(Protocol):
    """What a datapath is asked for."""

    @property
    def width(self) -> int:
        """Inputs of a lane per cycle."""

    @property
    def m(self) -> int:
        """Levels of a weight besides 0."""

    @property
    def n(self) -> int:
        """Levels of an input besides 0."""

    @property
    def bits(self) -> int:
        """Bits of a level, or of an input code."""


Top = tuple[str, dict[str, int | str]]
"""Top module and its parameters; a string is Verilog text."""


@dataclass(frozen=True)
class Rows:
    """Rows of the measured table: what they are called, bits of a level, widths."""

    label: str
    bits: int
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Datapaths:
    """One kind of datapath."""

    name: str
    """As ``andpop synth --kernel`` takes it."""
    top: Callable[[Sizes], Top]
    rows: tuple[Rows, ...]
    lanes: int = 1
    """Lanes that share something, and are measured together."""
    has_levels: bool = False
    """Its weights and inputs stand for levels: ``m`` and ``n`` count."""
    generated: str = ""
    """Source of the top, if it is no file of the kernel."""


def dot(gate: int) -> Callable[[Sizes], Top]:
    """The shared popcount core with the gate of this number."""

    def top(sizes: Sizes) -> Top:
        return "gated_popcount", {"Lanes": 1, "Width": sizes.width, "Gate": gate}

    return top


SHARED = (
    Datapaths("xnor-dot", dot(2), (Rows("XNOR dot product", 8, (64, 128, 256)),)),
    Datapaths("and-dot", dot(1), (Rows("AND dot product", 8, (64, 128, 256)),)),
)
"""Datapaths of ``hw/rtl``, which several kernels have."""


@cache
def all_datapaths() -> dict[str, Datapaths]:
    """Return every kind by name: the shared ones, then those of each kernel."""
    found = list(SHARED)
    for kernel in KERNELS:
        if find_spec(f".{kernel}.datapath", __package__):
            found += import_module(f".{kernel}.datapath", __package__).DATAPATHS
    return {kind.name: kind for kind in found}

# SPDX-License-Identifier: Apache-2.0
"""What a node takes: counted where its structure is forced, else from tables of measured points.

An op states a `Structure` for each implementation that can compute its node. Memories and DSP
blocks lie where the generator puts them, so they are counted. Logic and flip-flops follow
``costs.json`` in the kernel's folder, one number per unit of every count, which ``make calibrate``
fits to what Yosys maps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType

from .memory import LUTS_PER_BRAM18, LUTS_PER_DSP

TABLE_FILE = "costs.json"
FITTED = ("lut", "srl", "ff")
"""Resources that a table has numbers for: LUTs of logic, LUTs as shift registers, flip-flops."""
Table = Mapping[str, Mapping[str, float]]
"""Resource -> count -> what one of it takes."""


@dataclass(frozen=True)
class Usage:
    """Resources of a node or a design. ``lut`` counts logic and memory, ``lutram`` the memory among
    it."""

    lut: int = 0
    ff: int = 0
    lutram: int = 0
    bram18: int = 0
    dsp: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(a + b for a, b in zip(self.numbers(), other.numbers(), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(a - b for a, b in zip(self.numbers(), other.numbers(), strict=True)))

    def numbers(self) -> tuple[int, ...]:
        """The resources in the order of `RESOURCES`."""
        return tuple(getattr(self, name) for name in RESOURCES)

    @property
    def price(self) -> int:
        """All of it in LUTs; memory among them counts once."""
        return self.lut + LUTS_PER_BRAM18 * self.bram18 + LUTS_PER_DSP * self.dsp

    def within(self, allowed: Usage) -> bool:
        """Whether nothing is more than allowed."""
        return all(u <= a for u, a in zip(self.numbers(), allowed.numbers(), strict=True))

    def as_dict(self) -> dict[str, int]:
        """The resources by name."""
        return {name: getattr(self, name) for name in RESOURCES}


RESOURCES = tuple(field.name for field in fields(Usage))


@dataclass(frozen=True)
class Structure:
    """What a node is made of."""

    counts: Mapping[str, float]
    """What logic and flip-flops are proportional to, by the names of the table."""
    luts: float = 0
    """LUTs beside these that are known, such as those of a ROM."""
    ffs: float = 0
    """Flip-flops beside these that are known."""
    lutram: int = 0
    """LUTs of memories that are written."""
    bram18: int = 0
    dsp: int = 0
    table: str = ""
    """Name of its table, where a kernel has several."""


@cache
def tables(kernel: Path) -> Mapping[str, Table]:
    """Return the tables of a kernel's folder by name; none where it was not calibrated yet."""
    file = kernel / TABLE_FILE
    if not file.is_file():
        return MappingProxyType({})
    found: dict[str, Table] = json.loads(file.read_text(encoding="ascii"))
    return MappingProxyType(found)


def cost(structure: Structure, kernel: Path) -> Usage:
    """Return what a structure takes by the tables of a kernel's folder.

    Args:
        structure: what the node is made of.
        kernel: folder of the kernel.
    """
    table = tables(kernel).get(structure.table, {})
    lut, srl, ff = (
        sum(each * structure.counts.get(name, 0.0) for name, each in table.get(what, {}).items())
        for what in FITTED
    )
    lutram = structure.lutram + round(srl)
    return Usage(
        lut=round(lut + structure.luts) + lutram,
        ff=round(ff + structure.ffs),
        lutram=lutram,
        bram18=structure.bram18,
        dsp=structure.dsp,
    )


def loop_counts(lengths: Iterable[int]) -> dict[str, float]:
    """What nested loops of these lengths are made of: loops, and the bits of their counters."""
    bits = [(length - 1).bit_length() for length in lengths if length > 1]
    return {"loops": len(bits), "counters": sum(bits)}

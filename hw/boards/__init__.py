# SPDX-License-Identifier: Apache-2.0
"""The boards a network can be built for: one YAML file each, named after the board.

Whoever needs to know something of a board (folding, synthesis, emission, report) reads it here. A
board is added by its file alone.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from ...quant.names import brief

HERE = Path(__file__).parent
DEFAULT = "pynq-z2"

Family = Literal["xc7", "xcup", "ecp5"]
"""Families by the names that Yosys has for them."""


class UnknownBoard(ValueError):
    """No file has this board; the message names those there are."""


class Board(BaseModel):
    """What a board has. Counts are of the whole part: whatever else lies on it takes its share."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    aliases: list[str]
    """Other names it goes by."""
    part: str = Field(min_length=1)
    """The part, as the vendor's tool names it."""
    family: Family
    speed_grade: str
    clock_mhz: float = Field(gt=0.0)
    """Clock of a network unless another one is asked for."""
    lut: int = Field(gt=0)
    lut_inputs: int = Field(ge=4, le=6)
    ff: int = Field(gt=0)
    lutram: int = Field(gt=0)
    """LUTs that can be memory."""
    lutram_bits: int = Field(gt=0)
    """Bits that each of them holds."""
    bram18: int = Field(gt=0)
    """Block RAMs of 18 Kbit."""
    uram: int = Field(ge=0)
    """Block RAMs of 288 Kbit."""
    dsp: int = Field(ge=0)
    """Multipliers of 18x18 bits or wider."""
    dram_port_bits: int = Field(ge=0)
    """Width of a port to the board's memory; 0 without one."""

    @property
    def clock_ns(self) -> float:
        """Period of ``clock_mhz``."""
        return 1000.0 / self.clock_mhz

    @property
    def capacity(self) -> dict[str, int]:
        """What synthesis counts, as far as the board has it."""
        return {"lut": self.lut, "ff": self.ff, "bram18": self.bram18, "dsp": self.dsp}


@functools.cache
def boards() -> dict[str, Board]:
    """Return every board by name, in the order of their names."""
    found = {}
    for file in sorted(HERE.glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        found[file.stem] = Board.model_validate({"name": file.stem, **yaml.safe_load(text)})
    return found


def find(name: str) -> Board:
    """Return a board by its name or an alias, in any case.

    Raises:
        UnknownBoard: there is no such board.
    """
    wanted = name.lower()
    for board in boards().values():
        if wanted in (board.name, *board.aliases):
            return board
    raise UnknownBoard(f"found {brief(name)}, expected one of {', '.join(boards())}")

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
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...quant.names import brief

HERE = Path(__file__).parent
DEFAULT = "pynq-z2"
"""The board of a build that names none."""

Family = Literal["xc7", "xcup", "ecp5"]
"""Families by the names that Yosys has for them."""


class UnknownBoard(ValueError):
    """No file has this board; the message names those there are."""


class BoardError(ValueError):
    """The file of a board is damaged; the message names it and says why."""


class Board(BaseModel):
    """What a board has. Counts are of the whole part: whatever else lies on it takes its share."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    aliases: list[str]
    """Other names it goes by."""
    part: str = Field(min_length=1)
    """The part, as the vendor's tool names it."""
    vivado_board: str = ""
    """The board, as Vivado names it without a version; empty where it has no name there."""
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
    def capacity(self) -> dict[str, int]:
        """What synthesis counts, as far as the board has it."""
        return {"lut": self.lut, "ff": self.ff, "bram18": self.bram18, "dsp": self.dsp}


def has_slice_cells(part: str) -> bool:
    """Whether a part has LUT6_2 and CARRY4, or a tool that takes them for its own cells: AMD's."""
    return part.lower().startswith("xc")


def names() -> list[str]:
    """Return the names of all boards; no file is read."""
    return [file.stem for file in sorted(HERE.glob("*.yaml"))]


def boards() -> dict[str, Board]:
    """Return every board by name, in the order of their names.

    Raises:
        BoardError: a file is damaged.
    """
    return {name: _read(name) for name in names()}


@functools.cache
def _read(name: str) -> Board:
    file = HERE / f"{name}.yaml"
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        return Board.model_validate({"name": name, **document})
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        reason = " ".join(str(error).split())
    raise BoardError(f"{file}: found no board ({reason}), expected the fields of {DEFAULT}.yaml")


def find(name: str) -> Board:
    """Return a board by its name or an alias, in any case.

    Raises:
        UnknownBoard: there is no such board.
        BoardError: a file that must be read to know is damaged.
    """
    wanted = name.lower()
    if wanted in names():
        return _read(wanted)
    for board in boards().values():
        if wanted in board.aliases:
            return board
    raise UnknownBoard(f"found {brief(name)}, expected one of {', '.join(names())}")


DEFAULT_BOARD = find(DEFAULT)
"""The same as an object."""

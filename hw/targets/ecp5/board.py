# SPDX-License-Identifier: Apache-2.0
"""What a project for an ECP5 must know of a board beside its capacities: pins, clock, options."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...boards import BoardError, UnknownBoard

HERE = Path(__file__).parent / "boards"
LEDS = 8


class Pin(BaseModel):
    """One pin."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    site: str = Field(pattern=r"^[A-Z]{1,2}\d{1,2}$")
    attributes: str
    """As IOBUF of an LPF has them."""


class Clock(Pin):
    """The pin of the board's oscillator."""

    mhz: float = Field(gt=0.0)


class Ecp5Board(BaseModel):
    """The pins of a board, and what nextpnr calls its part."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    device: str
    """nextpnr's option without its dashes: 25k, 85k, um5g-85k."""
    package: str
    speed: str
    clock: Clock
    rx: Pin
    """From the host."""
    tx: Pin
    """To the host."""
    reset: Pin
    reset_pressed: int = Field(ge=0, le=1)
    """What the button gives while it is pressed."""
    reset_named: str
    leds: list[str] = Field(min_length=LEDS, max_length=LEDS)
    """Sites, the first of LED 0."""
    led_attributes: str
    led_lit: int = Field(ge=0, le=1)
    held: dict[str, Pin]
    """Outputs held high, by name."""
    program: str
    """Command that loads ``{bit}`` into the FPGA."""

    @property
    def options(self) -> tuple[str, ...]:
        """nextpnr's options for the part."""
        return (f"--{self.device}", "--package", self.package, "--speed", self.speed)


def names() -> list[str]:
    """Return the names of the boards that there is a way to a bitstream for."""
    return [file.stem for file in sorted(HERE.glob("*.yaml"))]


def find(name: str) -> Ecp5Board:
    """Return the pins of a board.

    Raises:
        UnknownBoard: it has none here.
        BoardError: its file is damaged.
    """
    if name not in names():
        raise UnknownBoard(f"{name}: found no pins, expected one of {', '.join(names())}")
    file = HERE / f"{name}.yaml"
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        return Ecp5Board.model_validate({"name": name, **document})
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        reason = " ".join(str(error).split())
    raise BoardError(f"{file}: found no pins ({reason}), expected the fields of {names()[-1]}.yaml")

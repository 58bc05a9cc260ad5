# SPDX-License-Identifier: Apache-2.0
"""The options of a build: the command line's, or build.yaml's."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ..hw import boards
from ..quant.names import brief
from .errors import UsageError
from .options import read_options

if TYPE_CHECKING:
    from ..hw.graph.fit import Shares
    from ..hw.graph.pixels import Pixels

STEPS = ("source", "export", "lower", "fold", "pack", "emit", "size", "report")
"""Names of the steps of a build, in order: ``--until`` takes one."""
AUTO, NONE = "auto", "none"
"""What ``--share`` takes beside names."""
MOST_SIDE = 4096
"""Most rows or columns of an input, as a checkpoint's card has it."""
MOST_CYCLES = 10**12


def parse_size(text: str) -> tuple[int, int, int]:
    """Parse HxWxC.

    Raises:
        UsageError: anything else than three positive integers joined by x, sides too large.
    """
    parts = text.lower().split("x")
    # Longer numbers are out of every range, and Python reads only so many digits.
    if len(parts) != 3 or not all(p.isdecimal() and len(p) < 10 and int(p) > 0 for p in parts):
        raise UsageError(f"--input: found {brief(text)}, expected HxWxC such as 64x64x1")
    height, width, channels = (int(p) for p in parts)
    if max(height, width) > MOST_SIDE:
        raise UsageError(f"--input: found {brief(text)}, expected sides of at most {MOST_SIDE}")
    if channels not in (1, 3):
        raise UsageError(f"--input: found {channels} channels in '{text}', expected 1 or 3")
    return height, width, channels


def parse_numbers(text: str) -> tuple[float, ...]:
    """Parse numbers divided by commas; each may be a fraction such as 1/255.

    Raises:
        ValueError: something else, or a number that is not finite.
    """
    try:
        # Longer ones are no pixel's numbers, and fractions of thousands of digits take long.
        if any(len(part) > 40 for part in text.split(",")):
            raise ValueError
        row = tuple(float(Fraction(part.strip())) for part in text.split(","))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(
            f"found '{text:.60}', expected numbers such as 1/255 or 0.485,0.456,0.406"
        ) from error
    return row


def _as_text(value: Any) -> Any:
    """Numbers and lists of build.yaml, as the command line would give them."""
    if isinstance(value, list):
        return ",".join(str(part) for part in value)
    return str(value) if isinstance(value, (int, float)) else value


Numbers = Annotated[str | None, BeforeValidator(_as_text)]


class BuildConfig(BaseModel):
    """Options of a build: the command line's, or build.yaml's; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str | None = None
    input_scale: Numbers = None
    input_mean: Numbers = None
    input_std: Numbers = None
    outputs: Literal["class", "numbers"] = "class"
    target_cycles: int | None = Field(default=None, ge=1, le=MOST_CYCLES)
    target_fps: float | None = Field(default=None, ge=1e-3, le=1e9, allow_inf_nan=False)
    clock_mhz: float = Field(
        default=boards.DEFAULT_BOARD.clock_mhz, ge=1e-3, le=1e4, allow_inf_nan=False
    )
    folding: str | None = None
    classes: str | None = None
    fuse: bool = True
    share: str = AUTO
    board: str = boards.DEFAULT
    lut_share: float = Field(default=75.0, gt=0, le=100, allow_inf_nan=False)
    bram_share: float = Field(default=90.0, gt=0, le=100, allow_inf_nan=False)
    dsp_share: float = Field(default=90.0, gt=0, le=100, allow_inf_nan=False)
    until: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _clock_of_the_board(cls, values: dict[str, Any]) -> dict[str, Any]:
        board = values.get("board", boards.DEFAULT)
        if "clock_mhz" in values or not isinstance(board, str):
            return values
        with suppress(boards.UnknownBoard):
            return {**values, "clock_mhz": boards.find(board).clock_mhz}
        return values

    @field_validator(
        "target_cycles", "target_fps", "clock_mhz", "lut_share", "bram_share", "dsp_share",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _no_switch(cls, value: Any) -> Any:
        if isinstance(value, bool):  # which pydantic would take for 0 or 1
            raise ValueError(f"found {str(value).lower()}, expected a number")
        return value

    @field_validator("board")
    @classmethod
    def _known_board(cls, value: str) -> str:
        return boards.find(value).name

    @field_validator("folding", "classes")
    @classmethod
    def _a_path(cls, value: str | None) -> str | None:
        if value is not None and (not value or "\0" in value):
            raise ValueError(f"found {brief(value)}, expected the path of a file")
        return value

    @field_validator("share", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return ",".join(map(str, value)) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _shares_what_is_fused(self) -> BuildConfig:
        if self.shared and not self.fuse:
            raise ValueError("found share and no fuse, expected --share none with --no-fuse")
        return self

    @model_validator(mode="after")
    def _one_target(self) -> BuildConfig:
        given = [n for n in ("target_cycles", "target_fps", "folding") if getattr(self, n)]
        if len(given) > 1:
            raise ValueError(f"found {' and '.join(given)}, expected at most one of them")
        return self

    @model_validator(mode="after")
    def _pixel_numbers(self) -> BuildConfig:
        for name in ("input_scale", "input_mean", "input_std"):
            try:
                row = parse_numbers(getattr(self, name) or "1")
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            if name != "input_mean" and min(row) <= 0:
                raise ValueError(f"{name}: found {min(row):g}, expected numbers above 0")
        if len(parse_numbers(self.input_scale or "1")) > 1:
            raise ValueError(f"input_scale: found {self.input_scale}, expected one number")
        return self

    @property
    def asks_for_pixels(self) -> bool:
        """Whether an option says what the network reads of a pixel."""
        return any((self.input_scale, self.input_mean, self.input_std))

    @property
    def pixels(self) -> Pixels:
        """What the network reads of a pixel by the options; pixel / 255 where they leave it out."""
        from ..hw.graph.pixels import Pixels

        return Pixels(
            parse_numbers(self.input_scale or "1/255")[0],
            parse_numbers(self.input_mean or "0"),
            parse_numbers(self.input_std or "1"),
            "as the options say",
        )

    @property
    def shares(self) -> Shares:
        """How much of the board the network may take."""
        from ..hw.graph.fit import Shares

        return Shares(self.lut_share, self.bram_share, self.dsp_share)

    @property
    def shared(self) -> tuple[str, ...] | None:
        """Chains of equal units that run in one engine each; None for as many as the board asks."""
        if self.share == AUTO:
            return None
        names = tuple(name.strip() for name in self.share.split(","))
        return () if names == (NONE,) else names

    @property
    def asks_for_target(self) -> bool:
        """Whether an option says how fast the network has to be."""
        return self.target_cycles is not None or self.target_fps is not None

    @property
    def size(self) -> tuple[int, int, int] | None:
        """Input size (height, width, channels), None for the card's."""
        return parse_size(self.input) if self.input else None

    def cycles(self, height: int, width: int) -> int:
        """Target cycles per frame; 8 per input pixel unless told."""
        if self.target_cycles:
            return self.target_cycles
        if self.target_fps:
            return max(1, int(self.clock_mhz * 1e6 / self.target_fps))
        return 8 * height * width


def read_config(file: Path | None, options: dict[str, Any]) -> BuildConfig:
    """Merge build.yaml and command-line options (these win).

    Raises:
        UsageError: the file is no YAML mapping, or an option is unknown or out of range.
    """
    values: dict[str, Any] = {}
    where = "build options"
    if file is not None:
        where = str(file)
        values.update(read_options(file))
    values.update({k: v for k, v in options.items() if v is not None})
    try:
        config = BuildConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "options"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"found no such option, expected one of {', '.join(BuildConfig.model_fields)}"
        elif first["type"] != "value_error":
            message = f"found {brief(first['input'])}: {message}"
        raise UsageError(f"{where}: {key}: {message}") from error
    if config.input is not None:
        parse_size(config.input)
    return config

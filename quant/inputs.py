# SPDX-License-Identifier: Apache-2.0
"""What a byte of a network's input stands for, and the bytes of the numbers that it reads.

NumPy and pydantic only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

Floats = npt.NDArray[np.float64]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0)]
Rounding = Literal["", "ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]

ROUNDINGS: dict[str, Callable[[Floats], Floats]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.copysign(np.ceil(np.abs(x)), x),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
    "HALF_DOWN": lambda x: np.copysign(np.ceil(np.abs(x) - 0.5), x),
}
"""QONNX's rounding modes."""
SAME = 1e-3
"""Of a step: nearer to a byte than that a number is the one it stands for, as float32 stores it."""


@dataclass(frozen=True)
class Reads:
    """A byte stands for ``(byte * scale - mean) / std``, per channel.

    Attributes:
        scale: what one step of a byte stands for, before ``std``.
        mean, std: one number, or one per channel.
        rounding: how the network's own first quantiser rounds, of which bytes are the codes;
            empty where bytes are not.
        first, last: its least and largest code.
    """

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", revalidate_instances="always")

    scale: Positive = 1.0
    mean: list[Number] = field(default_factory=lambda: [0.0])
    std: list[Positive] = field(default_factory=lambda: [1.0])
    rounding: Rounding = ""
    first: Annotated[int, Field(ge=-128, le=0)] = 0
    last: Annotated[int, Field(ge=0, le=255)] = 255

    def bytes_of(self, values: Floats) -> tuple[npt.NDArray[np.uint8], float]:
        """Return the bytes that stand for numbers, and how far from one, in steps, a number lies.

        What the network quantises itself may be any number.

        Args:
            values: finite, channels last.

        Raises:
            ValueError: a number lies beyond all that bytes stand for; says which, and the range.
        """
        mean, std = np.array(self.mean), np.array(self.std)
        if self.rounding:
            zero = self.first + np.rint(mean[0] / self.scale)
            codes = ROUNDINGS[self.rounding](values / self.scale + zero)
            return (np.clip(codes, self.first, self.last) - self.first).astype(np.uint8), 0.0
        places = (values * std + mean) / self.scale
        nearest = np.rint(places)
        beyond = (nearest < 0) | (nearest > 255)
        if beyond.any():
            where = tuple(np.argwhere(beyond)[0])
            low, high = ((byte * self.scale - mean) / std for byte in (0, 255))
            channel = where[-1] if len(low) > 1 else 0
            raise ValueError(
                f"found {values[where]:.6g}, expected {low[channel]:.6g} to {high[channel]:.6g}, "
                "which bytes stand for"
            )
        return nearest.astype(np.uint8), float(np.abs(places - nearest).max(initial=0.0))

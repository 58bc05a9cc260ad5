# SPDX-License-Identifier: Apache-2.0
"""The dividers of an ECP5's PLL (EHXPLLL) for a clock."""

from __future__ import annotations

from dataclasses import dataclass

VCO_MHZ = (400.0, 800.0)
DETECTOR_MHZ = (3.125, 400.0)
DIVIDERS = range(1, 129)
FEEDBACK = range(1, 81)
"""Limits, as Project Trellis' ecppll has them."""
ROUNDED = 1.00001
"""How much more it may be: 33.3333 MHz is a third of 100."""
NEAR = 0.98
"""How much less than asked the clock may be."""


class NoClock(ValueError):
    """The PLL cannot make a clock."""


@dataclass(frozen=True)
class Pll:
    """The dividers: the clock is ``input / reference * feedback``."""

    reference: int
    feedback: int
    output: int
    """From the oscillator inside to the clock."""
    mhz: float
    """The clock."""

    @property
    def phase(self) -> int:
        """Of the output, in periods of the oscillator: of no matter to a single clock."""
        return self.output // 2


def find(source_mhz: float, wanted_mhz: float) -> Pll:
    """Return dividers for the fastest clock that is no faster than wanted.

    Raises:
        NoClock: none comes near.
    """
    best: Pll | None = None
    for reference in DIVIDERS:
        detector = source_mhz / reference
        if not DETECTOR_MHZ[0] <= detector <= DETECTOR_MHZ[1]:
            continue
        for feedback in FEEDBACK:
            mhz = source_mhz * feedback / reference
            if mhz > wanted_mhz * ROUNDED or (best is not None and mhz <= best.mhz * ROUNDED):
                continue
            middle = sum(VCO_MHZ) / 2 / mhz
            output = min(
                (n for n in DIVIDERS if VCO_MHZ[0] <= mhz * n <= VCO_MHZ[1]),
                key=lambda n: abs(n - middle),
                default=None,
            )
            if output is not None:
                best = Pll(reference, feedback, output, mhz)
    if best is None or best.mhz < NEAR * wanted_mhz:
        found = "none" if best is None else f"{best.mhz:g} MHz"
        raise NoClock(
            f"clock: found {found} as the nearest that the PLL makes of {source_mhz:g} MHz, "
            f"expected {wanted_mhz:g} MHz; give another clock"
        )
    return best

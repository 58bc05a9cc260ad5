# SPDX-License-Identifier: Apache-2.0
"""Where a block's memories lie and what they cost: block RAM, LUTs, or the cheaper."""

from __future__ import annotations

from typing import NamedTuple

from .memory import LUTS_PER_BRAM18, bram18_blocks, in_block_ram, lutram_luts, shared_blocks
from .serial_epilogue import WORD_BITS

PLACES = ("auto", "block", "lut")
"""What the attributes ``rom``, ``line_ram`` and ``shortcut_ram`` may be."""


class Ram(NamedTuple):
    """A memory that is written and read."""

    depth: int
    width: int
    place: str

    @property
    def block(self) -> bool:
        """Whether it lies in block RAM."""
        by_size = in_block_ram(self.depth, self.width)
        return by_size if self.place == "auto" else self.place == "block"

    @property
    def luts(self) -> int:
        """LUTs of the memory."""
        return 0 if self.block else lutram_luts(self.depth, self.width)

    @property
    def brams(self) -> int:
        """18 Kbit block RAMs of the memory."""
        return bram18_blocks(self.depth, self.width) if self.block else 0


class Rom(NamedTuple):
    """The weights, and the parameters of what comes behind the sums."""

    shared: bool
    """Both in one block RAM."""
    block: bool
    """The weights in block RAM."""
    luts: int
    brams: int


def rom_of(width: int, steps: int, params: int, place: str) -> Rom:
    """Return the cheapest memories of the constants, as far as ``place`` leaves a choice.

    Args:
        width: bits of a weight word.
        steps: weight words.
        params: parameter words.
        place: one of `PLACES`.
    """
    apart = lut_rom(WORD_BITS, params)
    in_luts = Rom(False, False, apart + lut_rom(width, steps), 0)
    choices = [
        Rom(True, True, 0, shared_blocks(steps + params, max(width, WORD_BITS))),
        Rom(False, True, apart, bram18_blocks(steps, width)),
    ]
    if place == "lut":
        return in_luts
    if place == "auto":
        choices.append(in_luts)
    return min(choices, key=lambda rom: rom.luts + LUTS_PER_BRAM18 * rom.brams)


def lut_rom(width: int, depth: int) -> int:
    """LUTs of a ROM that does not lie in block RAM: beyond 64 words, as many again select."""
    banks = 1 << max(0, (depth - 1).bit_length() - 6)
    return width * (banks if banks == 1 else 2 * banks)

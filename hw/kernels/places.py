# SPDX-License-Identifier: Apache-2.0
"""Where a block's memories lie and what they cost: block RAM, LUTs, or the cheaper."""

from __future__ import annotations

from typing import NamedTuple

from .memory import (
    LUTS_PER_BRAM18,
    bram18_blocks,
    rom_luts,
    rom_parts,
    shared_blocks,
    shared_select,
)
from .serial_epilogue import WORD_BITS

PLACES = ("auto", "block", "lut")
"""What the attributes ``rom``, ``line_ram`` and ``shortcut_ram`` may be."""


class Rom(NamedTuple):
    """The weights, and the parameters of what comes behind the sums."""

    shared: bool
    """Both in one block RAM."""
    block: bool
    """The weights in block RAM."""
    luts: int
    brams: int
    outside: bool = False
    """Both in memories that another node shares."""
    parts: tuple[int, ...] = ()
    """Bits of each of the memories side by side, if both are in one."""


def rom_of(width: int, steps: int, params: int, place: str) -> Rom:
    """Return the cheapest memories of the constants, as far as ``place`` leaves a choice.

    Args:
        width: bits of a weight word.
        steps: weight words.
        params: parameter words.
        place: one of `PLACES`.
    """
    apart = rom_luts(params, WORD_BITS)
    in_luts = Rom(False, False, apart + rom_luts(steps, width), 0)
    depth = steps + params
    parts = tuple(rom_parts(depth, max(width, WORD_BITS), shared=True))
    luts = sum(shared_select(depth, bits) for bits in parts)
    brams = sum(shared_blocks(depth, bits) for bits in parts)
    choices = [
        Rom(True, True, luts, brams, parts=parts),
        Rom(False, True, apart, bram18_blocks(steps, width, read_only=True)),
    ]
    if place == "lut":
        return in_luts
    if place == "auto":
        choices.append(in_luts)
    return min(choices, key=lambda rom: rom.luts + LUTS_PER_BRAM18 * rom.brams)

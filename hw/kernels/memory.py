# SPDX-License-Identifier: Apache-2.0
"""What memories are made of and cost in the 7 series; every estimate and FIFO depth asks here."""

from __future__ import annotations

from typing import NamedTuple

BRAM18_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
"""Bits and words of an 18 Kbit block RAM, in each of its aspect ratios."""
PORT_BITS = 18
"""Bits of a port where a block has two that read."""
LUTS_PER_BRAM18 = 190
"""What a block RAM counts beside LUTs: the xc7z020 has 53,200 LUTs and 280 BRAM18 (DS190)."""
LUTS_PER_DSP = 240
"""What a DSP48E1 counts beside them: it has 220."""
FIFO_LUTS_PER_BRAM18 = 120
"""LUTs of LUT RAM that one has to take the place of in a FIFO: 8 bits by 640 words are 144."""
LUT_RAM_WORDS = 64
"""Words up to which a memory always lies in LUT RAM."""
LUT_RAM_BITS = 8192
"""Bits up to which it does, however many words it has."""


def in_block_ram(depth: int, width: int) -> bool:
    """Whether a memory lies in block RAM: the default of ``BlockRam`` in ``line_memory.sv``."""
    return depth > LUT_RAM_WORDS and depth * width > LUT_RAM_BITS


def fifo_in_block_ram(depth: int, width: int) -> bool:
    """Whether the memory of a FIFO lies in block RAM: where that saves LUTs enough."""
    saved = lutram_luts(depth, width)
    return depth > LUT_RAM_WORDS and saved > FIFO_LUTS_PER_BRAM18 * bram18_blocks(depth, width)


def lutram_luts(depth: int, width: int) -> int:
    """LUTs of a simple dual-port memory in LUT RAM: four hold 32 x 6 or 64 x 3 bits, and beyond
    64 words a LUT per four banks and data bit selects the bank."""
    if depth <= 32:
        return 4 * -(-width // 6)
    banks = -(-depth // 64)
    return 4 * banks * -(-width // 3) + (width * -(-banks // 4) if banks > 1 else 0)


def ram32m_luts(depth: int, width: int) -> int:
    """LUTs of a memory in RAM32M alone, 32 x 6 bits in four LUTs, its selection not counted."""
    return 4 * -(-width // 6) * -(-depth // 32)


def bram18_blocks(depth: int, width: int) -> int:
    """18 Kbit block RAMs of a simple dual-port memory, in the best of their aspect ratios."""
    return min(-(-depth // words) * -(-width // bits) for bits, words in BRAM18_SHAPES)


def shared_blocks(depth: int, width: int) -> int:
    """18 Kbit block RAMs of a read-only memory that is read at two ports."""
    shapes = [(bits, words) for bits, words in BRAM18_SHAPES if bits <= PORT_BITS]
    return min(-(-depth // words) * -(-width // bits) for bits, words in shapes)


def bram18_words(width: int) -> int:
    """Words of one 18 Kbit block whose words are ``width`` bits wide, or its widest."""
    return next((words for bits, words in reversed(BRAM18_SHAPES) if width <= bits), 512)


def rom_cost(width: int, depth: int) -> tuple[int, int]:
    """Estimate a ROM of ``depth`` words of ``width`` bits whose depth decides where it lies.

    Returns:
        (LUTs, BRAM18): a table of up to 64 words costs one LUT per bit and 64 words; deeper ones
        go to block RAM, 36 bits by 512 words (or 18 by 1024, .. 1 by 16384) per BRAM18.
    """
    if depth == 1:
        return 0, 0
    if depth <= LUT_RAM_WORDS:
        return width, 0
    shape = next((bits for bits, words in BRAM18_SHAPES if depth <= words), 1)
    return 0, -(-width // shape) * -(-depth // 16384)


def least_rom_cost(width: int, depth: int) -> tuple[int, int]:
    """Return LUTs and BRAM18 of a read-only memory, in whichever of them is cheaper.

    A LUT6 holds 64 words of a column. Few words have few columns that differ: equal ones are one
    LUT.
    """
    if depth == 1:
        return 0, 0
    luts = width << max(0, (depth - 1).bit_length() - 6)
    if depth < luts.bit_length():
        luts = 1 << depth
    blocks = bram18_blocks(depth, width)
    return (luts, 0) if luts <= LUTS_PER_BRAM18 * blocks else (0, blocks)


class LineMemory(NamedTuple):
    """A ``line_memory.sv``: simple dual-port memory of ``depth`` words of ``width`` bits, read
    through a register."""

    depth: int
    width: int

    @property
    def bits(self) -> int:
        """Bits stored."""
        return self.depth * self.width

    @property
    def block(self) -> bool:
        """Whether it lies in block RAM."""
        return in_block_ram(self.depth, self.width)

    @property
    def luts(self) -> int:
        """LUTs of the memory."""
        return 0 if self.block else lutram_luts(self.depth, self.width)

    @property
    def brams(self) -> int:
        """18 Kbit block RAMs of the memory."""
        return bram18_blocks(self.depth, self.width) if self.block else 0

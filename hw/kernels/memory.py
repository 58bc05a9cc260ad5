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


def lutram_cells(depth: int, width: int) -> int:
    """LUTs that hold the bits of a simple dual-port memory: four hold 64 x 3 bits, or for up to 32
    words that remain 32 x 6."""
    whole, rest = divmod(depth, 64)
    last = 0 if rest == 0 else -(-width // (6 if rest <= 32 else 3))
    return 4 * (whole * -(-width // 3) + last)


def lutram_select(depth: int, width: int) -> int:
    """LUTs that select among the 64 words of each: one per four of them and data bit."""
    banks = -(-depth // 64)
    return width * -(-banks // 4) if banks > 1 else 0


def lutram_luts(depth: int, width: int) -> int:
    """LUTs of a simple dual-port memory in LUT RAM."""
    return lutram_cells(depth, width) + lutram_select(depth, width)


def bram18_blocks(depth: int, width: int) -> int:
    """18 Kbit block RAMs of a simple dual-port memory: columns in the best of their aspect ratios,
    the bits that remain in a narrower one."""
    if width == 0:
        return 0
    return min(
        -(-depth // words)
        if width <= bits
        else width // bits * -(-depth // words) + bram18_blocks(depth, width % bits)
        for bits, words in BRAM18_SHAPES
    )


def shared_blocks(depth: int, width: int) -> int:
    """18 Kbit block RAMs of a read-only memory that is read at two ports."""
    shapes = [(bits, words) for bits, words in BRAM18_SHAPES if bits <= PORT_BITS]
    return min(-(-depth // words) * -(-width // bits) for bits, words in shapes)


def bram18_words(width: int) -> int:
    """Words of one 18 Kbit block whose words are ``width`` bits wide, or its widest."""
    return next((words for bits, words in reversed(BRAM18_SHAPES) if width <= bits), 512)


def styled_block(node: str, style: str) -> bool | None:
    """Whether a node's FINN attribute ``ram_style`` asks for block RAM; None for ``auto``.

    Raises:
        ValueError: it is ``ultra``.
    """
    if style == "ultra":
        raise ValueError(f"{node}: found ram_style ultra, expected auto, block or distributed")
    return None if style == "auto" else style == "block"


def rom_luts(depth: int, width: int) -> int:
    """LUTs of a read-only memory in logic: one per column and 64 words, and what selects among
    these (a LUT6 one of four). Few words have few columns that differ; equal ones are one LUT."""
    if depth == 1:
        return 0
    banks = -(-depth // 64)
    kinds = 2.0**depth - 2 if depth < 32 else 0.0
    columns = width if not kinds else kinds * (1 - (1 - 2.0**-depth) ** width)
    return round(columns * (banks + -(-(banks - 1) // 3)))


class ReadOnlyMemory(NamedTuple):
    """A memory of constants: of ``depth`` words of ``width`` bits, in LUTs or block RAM, as the RTL
    is told."""

    depth: int
    width: int
    place: str = "auto"
    """"block", "lut", or the cheaper."""

    @property
    def block(self) -> bool:
        """Whether it lies in block RAM."""
        if self.place != "auto":
            return self.place == "block"
        blocks = bram18_blocks(self.depth, self.width)
        return self.depth > 1 and rom_luts(self.depth, self.width) > LUTS_PER_BRAM18 * blocks

    @property
    def luts(self) -> int:
        """LUTs of the memory."""
        return 0 if self.block else rom_luts(self.depth, self.width)

    @property
    def registers(self) -> int:
        """Flip-flops of the word that is read, behind block RAM as well."""
        return 0 if self.depth == 1 else self.width

    @property
    def brams(self) -> int:
        """18 Kbit block RAMs of the memory."""
        return bram18_blocks(self.depth, self.width) if self.block else 0


class LineMemory(NamedTuple):
    """A simple dual-port memory of ``depth`` words of ``width`` bits, read through a register, such
    as ``line_memory.sv``."""

    depth: int
    width: int
    place: str = "auto"
    """"block", "lut", or the cheaper."""

    @property
    def bits(self) -> int:
        """Bits stored."""
        return self.depth * self.width

    @property
    def block(self) -> bool:
        """Whether it lies in block RAM."""
        by_size = in_block_ram(self.depth, self.width)
        return by_size if self.place == "auto" else self.place == "block"

    @property
    def luts(self) -> int:
        """LUTs of the memory."""
        return self.lutram + self.select

    @property
    def lutram(self) -> int:
        """LUTs that hold its bits."""
        return 0 if self.block else lutram_cells(self.depth, self.width)

    @property
    def select(self) -> int:
        """LUTs that select among these."""
        return 0 if self.block else lutram_select(self.depth, self.width)

    @property
    def registers(self) -> int:
        """Flip-flops of the word that is read, which block RAM has itself."""
        return 0 if self.block else self.width

    @property
    def late(self) -> int:
        """Bits of the word that comes late in a cycle, out of block RAM."""
        return self.width if self.block else 0

    @property
    def brams(self) -> int:
        """18 Kbit block RAMs of the memory."""
        return bram18_blocks(self.depth, self.width) if self.block else 0

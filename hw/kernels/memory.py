# SPDX-License-Identifier: Apache-2.0
"""What memories are made of and cost in the 7 series; every estimate and FIFO depth asks here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

BRAM18_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
"""Bits and words of an 18 Kbit block RAM, in each of its aspect ratios."""
PORT_BITS = 18
"""Bits of a port where a block has two that read."""
LUTS_PER_BRAM18 = 190
"""What a block RAM counts beside LUTs: the xc7z020 has 53,200 LUTs and 280 BRAM18 (DS190)."""
LUTS_PER_DSP = 240
"""What a DSP48E1 counts beside them: it has 220."""
MOST_BANKS = 4
"""Banks of a memory among which one LUT of six inputs selects."""
FIFO_LUTS_PER_BRAM18 = 140
"""LUTs of LUT RAM that one has to take the place of in a FIFO: 8 bits by 640 words are 162."""
LUT_RAM_WORDS = 64
"""Words up to which a memory always lies in LUT RAM."""
PART_WORDS = 64
"""Words of a part of ``deep_memory.sv`` and ``deep_rom.sv``; up to which a memory has no parts."""
LUT_RAM_BITS = 8192
"""Bits up to which it does, however many words it has."""


def in_block_ram(depth: int, width: int) -> bool:
    """Whether a memory lies in block RAM: the default of ``BlockRam`` in ``line_memory.sv``."""
    return depth > LUT_RAM_WORDS and depth * width > LUT_RAM_BITS


def fifo_in_block_ram(depth: int, width: int) -> bool:
    """Whether the memory of a FIFO lies in block RAM: where that saves LUTs enough."""
    saved = lutram_luts(depth, width)
    return depth > LUT_RAM_WORDS and saved > FIFO_LUTS_PER_BRAM18 * bram18_blocks(depth, width)


def fifo_bank_words(depth: int, width: int) -> int:
    """Words of a bank of a FIFO's block RAM; 0 where the memory is one bank.

    A bank is one block deep, on parts whose blocks are of 18 Kbit alone too, so that nothing that
    selects lies between a block and its register. Fewest blocks come first, then fewest banks.
    Widths of which a mapper packs more into a block than whole columns are left to it.
    """
    banks = {words: -(-depth // words) for _, words in BRAM18_SHAPES}
    words = min(
        (-(-width // bits) * banks[words], banks[words], words) for bits, words in BRAM18_SHAPES
    )[2]
    more = banks[words] * bram18_blocks(words, width) > bram18_blocks(depth, width)
    return 0 if words >= depth or more else words


class _Layout(NamedTuple):
    """A way to lay out a memory, in the numbers of Yosys' memory_libmap: banks of some words, whose
    bits lie side by side in cells."""

    words: int
    bits: int
    """Bits of a word that a cell holds."""
    units: int
    """LUTs or 18 Kbit blocks of a cell."""
    price: float
    """What a cell costs."""
    bit_price: float = 0
    """What a cell costs besides, in proportion to the bits used."""
    group: int = 1
    """Bits of a word that are written together."""

    def banks(self, depth: int) -> int:
        """Banks that hold so many words."""
        return -(-depth // self.words)

    def cells(self, depth: int, width: int) -> int:
        """Cells of a memory."""
        return -(-self.banks(depth) * (-(-width // self.group) * self.group) // self.bits)

    def cost(self, depth: int, width: int, readers: int = 1) -> float:
        """What the mapper minimises: cells, and what selects among the banks to write and read."""
        banks = self.banks(depth)
        selected = readers * (banks - 1) * width + (banks if self.group else 0)
        selection = selected / 2 if banks > 1 else 0
        used = self.bit_price * banks * width / self.bits
        return self.price * self.cells(depth, width) + used + selection

    def units_of(self, depth: int, width: int) -> int:
        """LUTs or blocks of a memory."""
        return self.units * self.cells(depth, width)

    def select(self, depth: int, width: int) -> int:
        """LUTs that select among its banks: one per four of them and data bit, then among these."""
        return width * selection(self.banks(depth))


def selection(banks: int) -> int:
    """LUTs that select one of so many bits."""
    if banks == 1:
        return 0
    groups = -(-banks // 4)
    return groups - (banks % 4 == 1) + selection(groups)


LUT_RAMS = (_Layout(32, 6, 4, 1, 7, 6), _Layout(64, 3, 4, 1, 7, 3), _Layout(128, 1, 4, 0, 8))
"""RAM32M, RAM64M and RAM128X1D."""
BLOCK_ROMS = tuple(
    _Layout(words >> step, bits, units, price)
    for words, units, price, widest in (
        (1 << 14, 1, 129, 6),
        (1 << 15, 2, 257, 7),
        (1 << 16, 4, 513, 1),
    )
    for step, bits in enumerate((1, 2, 4, 9, 18, 36, 72)[:widest])
)
"""RAMB18E1 and RAMB36E1 in their aspect ratios, and two of the latter as a cascade."""
SHARED_ROMS = tuple(layout for layout in BLOCK_ROMS if layout.bits <= PORT_BITS * layout.units)
"""Those that have two ports to read at."""
BLOCK_RAMS = tuple(layout._replace(group=min(layout.bits, 9)) for layout in BLOCK_ROMS)
"""The same with words that are written byte by byte."""


def _cheapest(layouts: Sequence[_Layout], depth: int, width: int) -> _Layout:
    """The layout that a memory gets."""
    return min(layouts, key=lambda layout: layout.cost(depth, width))


def lutram_cells(depth: int, width: int) -> int:
    """LUTs that hold the bits of a simple dual-port memory."""
    return _cheapest(LUT_RAMS, depth, width).units_of(depth, width)


def lutram_select(depth: int, width: int) -> int:
    """LUTs that select among its banks to read and to write."""
    return _selecting(LUT_RAMS, depth, width)


def bram18_select(depth: int, width: int) -> int:
    """LUTs that select among banks of block RAM to read and to write."""
    return _selecting(BLOCK_RAMS, depth, width)


def _selecting(layouts: Sequence[_Layout], depth: int, width: int) -> int:
    layout = _cheapest(layouts, depth, width)
    banks = layout.banks(depth)
    return layout.select(depth, width) + (banks if banks > 1 else 0)


def lutram_luts(depth: int, width: int) -> int:
    """LUTs of a simple dual-port memory in LUT RAM."""
    return lutram_cells(depth, width) + lutram_select(depth, width)


def bram18_blocks(depth: int, width: int, read_only: bool = False) -> int:
    """18 Kbit block RAMs of a simple dual-port memory, or of one that is not written."""
    layouts = BLOCK_ROMS if read_only else BLOCK_RAMS
    return _cheapest(layouts, depth, width).units_of(depth, width) if width else 0


def shared_blocks(depth: int, width: int) -> int:
    """18 Kbit block RAMs of a read-only memory that is read at two ports."""
    return _shared(depth, width).units_of(depth, width)


def shared_select(depth: int, width: int) -> int:
    """LUTs that select among its banks at both ports."""
    return 2 * _shared(depth, width).select(depth, width)


def _shared(depth: int, width: int) -> _Layout:
    return min(SHARED_ROMS, key=lambda layout: layout.cost(depth, width, 2))


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


def block_words(depth: int) -> int:
    """Words of the shape of an 18 Kbit block in which so many of them lie, or these where they are
    fewer or more than there is one for."""
    shapes = [words for _, words in BRAM18_SHAPES]
    if depth <= shapes[0]:
        return depth
    return next((words for words in shapes if depth <= words), depth)


def block_banks(depth: int, width: int) -> list[int]:
    """Words of each bank of a memory in block RAM: ``banked_rom.sv``.

    Every bank is one block deep, on parts whose blocks are of 18 Kbit alone too; all but the last
    are of the same power of two. What selects among them counts as its LUTs. The widest shape is
    one that an ECP5 does not use, so it is for those that need no other.
    """
    (_, widest), *shapes = BRAM18_SHAPES
    if depth <= widest:
        return [depth]
    found = []
    for _, words in shapes:
        whole, rest = divmod(depth, words)
        banks = [words] * whole + ([block_words(max(rest, shapes[0][1]))] if rest else [])
        blocks = sum(-(-width // _shape_bits(n)) for n in banks)
        price = LUTS_PER_BRAM18 * blocks + width * selection(len(banks))
        found.append((len(banks) > MOST_BANKS, price, len(banks), banks))
    return min(found)[3]


def rom_parts(depth: int, width: int, shared: bool = False) -> list[int]:
    """Bits of each of the memories side by side in which a word of constants lies in block RAM, so
    that nothing has to select among blocks: ``rom_stream.sv``; one where nothing does anyway, or
    where that takes many more blocks. If ``shared``, both ports read.
    """
    whole = _shared(depth, width) if shared else _cheapest(BLOCK_ROMS, depth, width)
    words = block_words(depth)
    if whole.banks(depth) == 1 or depth > BRAM18_SHAPES[-1][1]:
        return [width]
    parts = -(-width // _shape_bits(words))
    blocks = whole.units_of(depth, width)
    if parts > blocks + max(1, blocks // 8):
        return [width]
    bits = -(-width // parts)
    return [min(bits, width - first) for first in range(0, width, bits)]


def _shape_bits(depth: int) -> int:
    """Bits of the shape of a block in which so many words lie."""
    return next(bits for bits, words in BRAM18_SHAPES if depth <= words)


def varying(words: int) -> float:
    """Share of the bits of a word that differ among so many of them, where contents are random."""
    return 1 - 2.0 ** (1 - words)


def rom_luts(depth: int, width: int) -> int:
    """LUTs of a read-only memory in logic: one per column and 64 words, but for columns of one
    value, and what selects among these."""
    whole, rest = divmod(depth, 64)
    # Where a word stands alone the selection is what knows its bits.
    last = max(varying(rest), 0.5 if whole else 0.0) if rest else 0.0
    return round(width * (whole + last + selection(-(-depth // 64))))


def held_luts(words: Sequence[int]) -> tuple[int, int]:
    """LUTs and flip-flops of a read-only memory in logic that holds these words: as `rom_luts`, but
    for what is known to be constant, of a column and of the words of a LUT."""
    luts = registers = 0
    for bit in range(max(words).bit_length()):
        column = [word >> bit & 1 for word in words]
        if len(set(column)) == 1:
            continue
        parts = [column[at : at + 64] for at in range(0, len(column), 64)]
        luts += sum(len(set(part)) > 1 for part in parts) + selection(len(parts))
        registers += 1
    return luts, registers


def chosen(banks: int) -> int:
    """LUTs that select one of so many bits, each with a bit of its own that chooses it: all inputs
    and the LUTs but the last are inputs of LUTs, six each."""
    return -(-(2 * banks - 1) // 5)


class ReadOnlyMemory(NamedTuple):
    """A memory of constants: of ``depth`` words of ``width`` bits, in LUTs or block RAM, as the RTL
    is told."""

    depth: int
    width: int
    place: str = "auto"
    """"block", "lut", or the cheaper."""
    parted: bool = False
    """Whether in block RAM it may lie in several memories side by side: ``rom_parts``."""

    @property
    def parts(self) -> list[int]:
        """Bits of each of these memories."""
        return rom_parts(self.depth, self.width) if self.parted and self.block else [self.width]

    @property
    def block(self) -> bool:
        """Whether it lies in block RAM."""
        if self.place != "auto":
            return self.place == "block"
        blocks = bram18_blocks(self.depth, self.width, read_only=True)
        return self.depth > 1 and rom_luts(self.depth, self.width) > LUTS_PER_BRAM18 * blocks

    @property
    def luts(self) -> int:
        """LUTs of the memory, or of what selects among its blocks."""
        if self.block:
            layouts = ((bits, _cheapest(BLOCK_ROMS, self.depth, bits)) for bits in self.parts)
            return sum(layout.select(self.depth, bits) for bits, layout in layouts)
        return rom_luts(self.depth, self.width)

    @property
    def registers(self) -> int:
        """Flip-flops of the word that is read, behind block RAM as well. Few words have bits that
        are the same in all of them."""
        if self.block:
            return self.width
        return round(self.width * varying(self.depth))

    @property
    def part_registers(self) -> int:
        """Flip-flops of the word that is read, of every part of ``deep_rom.sv``, and of which of
        these counts; none in block RAM."""
        if self.block:
            return 0
        starts = range(0, self.depth, PART_WORDS)
        bits = sum(self.width * varying(min(PART_WORDS, self.depth - at)) for at in starts)
        return round(bits) + (len(starts) - 1).bit_length()

    @property
    def brams(self) -> int:
        """18 Kbit block RAMs of the memory."""
        if not self.block:
            return 0
        return sum(bram18_blocks(self.depth, bits, read_only=True) for bits in self.parts)


class OutsideRom(NamedTuple):
    """A memory of constants that a node can read outside of itself, through ports of its core:
    ``<name>_address_o``, ``<name>_word_i`` and, where it reads on demand, ``<name>_next_o``."""

    name: str
    depth: int
    width: int
    on_demand: bool = False
    """Read where asked for; otherwise every cycle."""


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
        """LUTs of the memory and of what selects among its parts."""
        return self.lutram + self.select

    @property
    def lutram(self) -> int:
        """LUTs that hold its bits."""
        return 0 if self.block else lutram_cells(self.depth, self.width)

    @property
    def select(self) -> int:
        """LUTs that select among these."""
        select = bram18_select if self.block else lutram_select
        return select(self.depth, self.width)

    @property
    def registers(self) -> int:
        """Flip-flops of the word that is read, which block RAM has itself."""
        return 0 if self.block else self.width

    def in_parts(self) -> tuple[int, int, int]:
        """LUTs that hold its bits, LUTs that select, flip-flops, where it is read in two steps: in
        LUTs a register per part of 64 words, as in ``deep_memory.sv``."""
        if self.block or self.depth <= PART_WORDS:
            return self.lutram, self.select, self.registers
        sizes = [min(PART_WORDS, self.depth - at) for at in range(0, self.depth, PART_WORDS)]
        held = sum(lutram_cells(max(2, size), self.width) for size in sizes)
        select = self.width * selection(len(sizes)) + len(sizes)
        return held, select, len(sizes) * self.width + (len(sizes) - 1).bit_length()

    @property
    def late(self) -> int:
        """Bits of the word that comes late in a cycle, out of block RAM."""
        return self.width if self.block else 0

    @property
    def brams(self) -> int:
        """18 Kbit block RAMs of the memory."""
        return bram18_blocks(self.depth, self.width) if self.block else 0

# SPDX-License-Identifier: Apache-2.0
"""What a binary block is made of, part by part as its RTL has them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..bit_heap import tree_levels, tree_registers
from ..costs import Structure, loop_counts
from ..memory import LineMemory, ReadOnlyMemory, rom_luts, varying
from ..serial_epilogue import WORD_BITS, WORDS
from ..walk import Ring, Walk

if TYPE_CHECKING:
    from .op import BinaryBlock


@dataclass
class Parts:
    """A sum of parts: counts of a table, and what is known besides."""

    counts: Counter[str] = field(default_factory=Counter)
    luts: float = 0
    ffs: float = 0
    lutram: int = 0
    bram18: int = 0

    def loops(self, *lengths: int) -> None:
        """Add `loop_counter`s of these lengths."""
        found = loop_counts(lengths)
        self.counts.update(found)
        self.ffs += found["loops"] + found["counters"]

    def memory(self, memory: LineMemory) -> None:
        """Add a memory that is written, and the register of its word."""
        self.luts += memory.select
        self.lutram += memory.lutram
        self.bram18 += memory.brams
        self.ffs += memory.registers

    def structure(self, dsp: int) -> Structure:
        """The sum as a structure."""
        return Structure(
            dict(self.counts),
            luts=self.luts,
            ffs=self.ffs,
            lutram=self.lutram,
            bram18=self.bram18,
            dsp=dsp,
        )


def structure_of(block: BinaryBlock) -> Structure:
    """Return what a block is made of."""
    walk, simd, pe = block.walk(), block.number("SIMD"), block.number("PE")
    channels, outputs = block.number("IFMChannels"), block.number("OFMChannels")
    in_bits = int(block.input_streams()[0].dtype.bitwidth())
    parts = Parts(Counter(one=1))
    add_writer(parts, walk, channels, simd, in_bits)
    add_reader(parts, walk, outputs // pe, block.ring())
    add_lines(parts, walk, block.line_ram())
    _add_rom(parts, block)
    _add_dot(parts, simd, pe, block.inputs().bit_length(), block.steps() // (outputs // pe))
    _add_results(parts, block)
    return parts.structure(dsp=1)


def add_writer(parts: Parts, walk: Walk, channels: int, simd: int, in_bits: int) -> None:
    """Add ``block_writer``: the thresholds, the bits of a word."""
    parts.loops(channels, simd, *([walk.pixels] if beyond(walk) else []))
    parts.luts += rom_luts(channels, in_bits + 1)
    parts.ffs += ReadOnlyMemory(channels, in_bits + 1, "lut").registers + 5 + simd - 1
    parts.counts["compared"] += in_bits


def beyond(walk: Walk) -> bool:
    """Whether a window ends beyond the last pixel of its frame."""
    last = (walk.out_height - 1) * walk.stride_y * walk.width
    return last + (walk.out_width - 1) * walk.stride_x + walk.need > walk.pixels


def flat(walk: Walk) -> bool:
    """Whether a window is a pixel, one after the other."""
    return walk.span == 1 and walk.pixels == walk.out_pixels


def add_reader(parts: Parts, walk: Walk, folds: int, ring: Ring) -> None:
    """Add ``block_reader``: the loops of a window, the address, what may be read."""
    last_x = (walk.out_width - 1) * walk.stride_x
    last_y = (walk.out_height - 1) * walk.stride_y
    moves = (
        walk.stride_x,
        walk.stride_y * walk.width - last_x,
        walk.pixels - last_y * walk.width - last_x,
    )
    margin = 1 + max(walk.need + max(moves), ring.slack + 2 - min(moves[2], 0)).bit_length()
    parts.loops(walk.kernel_x * walk.groups, walk.kernel_y, folds)
    parts.counts.update({"address": ring.address_bits, "margin": margin})
    parts.ffs += ring.address_bits + margin + 2
    if beyond(walk):
        frames = 2**ring.address_bits // (walk.groups * walk.pixels) + 2
        parts.counts["frames"] += frames.bit_length()
        parts.ffs += frames.bit_length()
    if not flat(walk):
        _add_place(parts, walk, last_x, last_y)


def _add_place(parts: Parts, walk: Walk, last_x: int, last_y: int) -> None:
    """Add ``block_place``: row and column of the word that is read."""
    end_x = max(last_x + walk.kernel_x - walk.pad_left, walk.width) + walk.pad_left
    end_y = max(last_y + walk.kernel_y - walk.pad_top, walk.height) + walk.pad_top
    places = end_x.bit_length() + end_y.bit_length()
    parts.loops(walk.groups)
    parts.counts.update({"windows": 1, "places": places})
    parts.ffs += places + 3


def add_lines(parts: Parts, walk: Walk, memory: LineMemory) -> None:
    """Add ``block_lines``: the memory with a register in front or behind."""
    address = (memory.depth - 1).bit_length()
    parts.memory(memory)
    parts.ffs += address + (memory.width if memory.block else address) + (not flat(walk))


def _add_rom(parts: Parts, block: BinaryBlock) -> None:
    """Add ``block_rom``: weights and parameters, each with two registers."""
    rom, steps, width = block.rom(), block.steps(), block.number("SIMD") * block.number("PE")
    params = WORDS * block.number("OFMChannels")
    depth = steps + (params if rom.shared else 0)
    address = (depth - 1).bit_length()
    parts.luts += rom.luts
    parts.bram18 += rom.brams
    parts.counts["rom address"] += address
    parts.ffs += address + width + WORD_BITS
    if rom.shared:
        parts.counts["param address"] += address
        parts.ffs += address + 1
    else:
        parts.loops(params)
        parts.ffs += WORD_BITS
    if not rom.block:
        pieces = -(-steps // 256)
        parts.ffs += pieces * width * varying(steps) + (pieces - 1).bit_length()
        parts.counts["pieces"] += (pieces - 1) * width


def _add_dot(parts: Parts, simd: int, pe: int, count: int, steps: int) -> None:
    """Add ``block_dot`` and the marks beside it, which wait in shift registers of LUTs."""
    chunks = -(-simd // 12)
    bits, word = (-(-simd // chunks)).bit_length(), simd.bit_length()
    levels = tree_levels(chunks)
    parts.counts.update(
        {"products": pe * simd, "chunks": pe * chunks, "sums": pe * count, "lanes": pe}
    )
    parts.counts["tree"] += pe * (chunks - 1) * word
    parts.ffs += pe * (chunks * bits + tree_registers(chunks, bits, word) + count) + levels + 4
    parts.lutram += 2 if steps > 1 else 0


def _add_results(parts: Parts, block: BinaryBlock) -> None:
    """Add ``block_results``: counts that wait, the shortcut, the epilogue."""
    pe, count = block.number("PE"), block.inputs().bit_length()
    out = int(block.output_streams()[0].dtype.bitwidth())
    epilogue = block.epilogue()
    parts.loops(pe)
    parts.ffs += 2 + pe * count
    parts.counts.update(
        {
            "held": (pe - 1) * count,
            "accumulated": epilogue.acc_bits,
            "pre": epilogue.fmt.pre_bits,
            "out": out,
        }
    )
    shortcut = block.get_nodeattr("shortcut")
    if shortcut != "none":
        parts.counts.update({"shortcut": 1, "shortcut bits": out})
        parts.ffs += out
    if shortcut == "stream":
        parts.ffs += 1
    if shortcut == "own":
        ring = block.shortcut_ram()
        parts.loops(ring.depth, ring.depth)
        parts.memory(ring)

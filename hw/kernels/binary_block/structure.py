# SPDX-License-Identifier: Apache-2.0
"""What a binary block is made of, part by part as its RTL has them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..bit_heap import tree_registers
from ..block_parts import Parts, add_lines, add_reader, beyond, dot_chunks, dot_levels
from ..costs import Structure
from ..memory import ReadOnlyMemory, rom_luts
from ..serial_epilogue import WORD_BITS, WORDS
from ..walk import Walk

if TYPE_CHECKING:
    from .op import BinaryBlock


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


def _add_rom(parts: Parts, block: BinaryBlock) -> None:
    """Add ``block_rom``: weights and parameters, each with two registers."""
    rom, steps, width = block.rom(), block.steps(), block.number("SIMD") * block.number("PE")
    params = WORDS * block.number("OFMChannels")
    depth = steps + (params if rom.shared else 0)
    # Outside, the words of another node may lie in front.
    address = (depth - 1).bit_length() + rom.outside
    parts.luts += rom.luts
    parts.bram18 += rom.brams
    parts.counts["rom address"] += address
    parts.ffs += address + width + WORD_BITS
    if rom.shared or rom.outside:
        bits = (params - 1).bit_length() + 1 if rom.outside else address
        parts.counts["param address"] += bits
        parts.ffs += bits + 1
    else:
        parts.loops(params)
        parts.ffs += ReadOnlyMemory(params, WORD_BITS, "lut").part_registers
    if not rom.block:
        parts.ffs += ReadOnlyMemory(steps, width, "lut").part_registers


def _add_dot(parts: Parts, simd: int, pe: int, count: int, steps: int) -> None:
    """Add ``block_dot`` and the marks beside it, which wait in shift registers of LUTs."""
    chunks, levels = dot_chunks(simd), dot_levels(simd)
    bits, word = (-(-simd // chunks)).bit_length(), simd.bit_length()
    parts.counts.update(
        {"products": pe * simd, "chunks": pe * chunks, "sums": pe * count, "lanes": pe}
    )
    parts.counts["tree"] += pe * (chunks - 1) * word
    parts.ffs += (
        pe * (chunks * bits + tree_registers(chunks, bits, word, levels) + count) + levels + 4
    )
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
        parts.ffs += 1 + out
        parts.memory_in_parts(ring)

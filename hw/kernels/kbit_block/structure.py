# SPDX-License-Identifier: Apache-2.0
"""What a k-bit block is made of, part by part as its RTL has them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..bit_heap import XNOR, planes, tag
from ..block_parts import Parts, add_lines, add_reader, beyond
from ..costs import Structure
from ..memory import PART_WORDS
from ..thresholds import search_stages, search_structure

if TYPE_CHECKING:
    from .op import KbitBlock

SLICE = 32
"""Bits of a word of weights in LUTs that share an address."""


def structure_of(block: KbitBlock) -> Structure:
    """Return what a block is made of."""
    walk, simd, pe, bits = block.walk(), block.number("SIMD"), block.number("PE"), block.code_bits()
    acc = block.largest_sum().bit_length()
    parts = Parts(Counter({"one": 1}))
    # The writer: an input word, the words of one of the line memory.
    lanes = block.input_lanes()
    parts.loops(block.number("IFMChannels") // lanes, simd // lanes)
    if beyond(walk):
        parts.loops(walk.pixels)
    parts.ffs += 2 + simd * bits
    add_reader(parts, walk, block.folds(), block.ring())
    add_lines(parts, walk, block.line_ram())
    rom = block.rom()
    # Each slice of a word in LUTs counts by itself; one part has no second register behind it.
    slices = 1 if rom.block else -(-rom.width // SLICE)
    address = (rom.depth - 1).bit_length() * slices
    parts.luts += rom.luts
    parts.bram18 += rom.brams
    second = 2 if not rom.block and rom.depth <= PART_WORDS else rom.width
    parts.ffs += address + second + rom.part_registers
    parts.counts["rom address"] += address
    # The products, the accumulators and the marks of a step.
    marks = 2 if block.group_steps() > 1 else 0
    cycles = max((simd - 1).bit_length(), 4) + 2
    dot = planes(simd, bits, XNOR, cycles).times(pe).also(tag(cycles, max(1, marks)))
    parts.luts += dot.luts
    parts.ffs += dot.ffs + 2 + 2 * marks + pe * acc + 1
    parts.counts.update({"sums": pe * acc, "lanes": pe})
    _add_results(parts, block, acc)
    return parts.structure(0)


def _add_results(parts: Parts, block: KbitBlock, acc: int) -> None:
    """Add ``kbit_results``: sums that wait, the search, the memory behind it."""
    pe, lanes, every = block.number("PE"), block.output_lanes(), block.every()
    words, outputs = pe // lanes, block.number("OFMChannels")
    if words * every > 1:
        if (outputs - (block.folds() - 1) * pe) // lanes != words:
            parts.loops(block.folds())
        spaced = (words - 1).bit_length() + (words * every - 1).bit_length()
        parts.ffs += pe * acc + 2 + spaced + (every - 1).bit_length()
        parts.counts.update({"held": (pe - lanes) * acc, "spaced": spaced})
    if block.searchers():
        _add_turns(parts, block, acc)
    else:
        search = search_structure(lanes, *block.search_groups())
        parts.counts.update({f"search {name}": count for name, count in search.counts.items()})
        parts.luts += search.luts
        parts.ffs += search.ffs
        parts.bram18 += search.bram18
    out = block.out_ram()
    address = (out.depth - 1).bit_length()
    parts.memory(out)
    parts.ffs += 3 * address + 3
    parts.counts.update({"out": out.width, "out address": address})


def _add_turns(parts: Parts, block: KbitBlock, acc: int) -> None:
    """Add ``threshold_turns``: searchers that take words in turn."""
    turns = block.turn_memories()
    channel = (block.number("OFMChannels") - 1).bit_length()
    search = channel + search_stages(block.number("numSteps")) + 1 + acc
    read = acc + turns.code_bits + turns.part_registers
    parts.loops(block.number("OFMChannels"), turns.searchers)
    parts.luts += turns.luts
    parts.bram18 += turns.brams
    parts.ffs += turns.searchers * (4 + acc + channel + 3 * search + read)
    parts.ffs += 1 + turns.code_bits if turns.searchers == 2 else 0
    parts.counts.update({"searchers": turns.searchers, "searched": turns.searchers * search})

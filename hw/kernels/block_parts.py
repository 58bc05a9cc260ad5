# SPDX-License-Identifier: Apache-2.0
"""What fused blocks are made of, part by part as their RTL has them: those that all blocks have."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .costs import Structure, loop_counts
from .memory import PART_WORDS, LineMemory
from .walk import Ring, Walk

DOT_CHUNK = 6
"""Bits that ``block_dot`` counts in one cycle."""


def dot_chunks(simd: int) -> int:
    """Return in how many pieces ``block_dot`` counts so many bits."""
    return -(-simd // DOT_CHUNK)


def dot_levels(simd: int) -> int:
    """Return the cycles in which ``block_dot`` adds the counts of the pieces, two at a time."""
    return (dot_chunks(simd) - 1).bit_length()


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

    def memory_in_parts(self, memory: LineMemory) -> None:
        """Add a memory that is read in two steps: in LUTs a register per part of 64 words."""
        lutram, select, ffs = memory.in_parts()
        self.lutram += lutram
        self.luts += select
        self.bram18 += memory.brams
        self.ffs += ffs

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


def add_lines(parts: Parts, walk: Walk, memory: LineMemory, border: bool = True) -> None:
    """Add ``block_lines``: the memory with a register in front or behind; with ``border`` words
    there are zeros."""
    parts.memory_in_parts(memory)
    address, whole = (memory.depth - 1).bit_length(), memory.depth <= PART_WORDS
    parts.ffs += address + (address if whole and not memory.block else memory.width)
    if border and not flat(walk):
        parts.ffs += 1 + memory.block
        parts.luts += memory.width if memory.block else 0

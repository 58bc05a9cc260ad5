# SPDX-License-Identifier: Apache-2.0
"""What a block of levels is made of, part by part as its RTL has them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..bit_heap import tag, tree_levels
from ..block_parts import Parts, add_lines, add_reader, beyond, flat
from ..costs import Structure
from ..memory import ReadOnlyMemory, rom_luts
from ..pa_levels import dot_cycles

if TYPE_CHECKING:
    from .op import PaBlock


def structure_of(block: PaBlock, way: str) -> Structure:
    """Return what a block is made of with one of its implementations."""
    compute = block.compute_cycles_of(way)
    walk, pe = block.walk(compute), block.number("PE")
    parts = Parts(Counter({"one": 1, way: 1}))
    _add_writer(parts, block, walk.pixels if beyond(walk) else 1)
    add_reader(parts, walk, block.folds(), block.ring(compute))
    add_lines(parts, walk, block.line_ram(compute), border=False)
    rom, steps = block.rom(), block.steps()
    parts.loops(steps)
    parts.luts += rom.luts
    parts.bram18 += rom.brams
    parts.ffs += rom.width + rom.part_registers
    parts.ffs += (6 if block.group_steps() > 1 else 4) + 2 * (not flat(walk))
    _add_dot(parts, block, way, not flat(walk))
    _add_results(parts, block, compute)
    dsp = block.number("SIMD") * -(-pe // 2) if way == "packed" else 0
    return parts.structure(dsp)


def _add_writer(parts: Parts, block: PaBlock, pixels: int) -> None:
    """Add ``pa_writer``: thresholds of a channel, the codes of a word."""
    channels, simd, code = (
        block.number("IFMChannels"),
        block.number("SIMD"),
        block.bits("codeDataType"),
    )
    steps, bits = block.number("numSteps"), block.level_bits()
    parts.loops(channels, simd, pixels)
    parts.luts += rom_luts(channels, bits)
    parts.ffs += ReadOnlyMemory(channels, bits, "lut").registers + 6 + simd * code
    parts.ffs += steps + (code if block.number("directions") else 0)
    parts.counts.update(
        {
            "compared": steps * block.bits("inputDataType"),
            "steps": steps,
            "directions": block.number("directions"),
        }
    )


def _add_dot(parts: Parts, block: PaBlock, way: str, border: bool) -> None:
    """Add the products and their sums, see ``pa_sums``; words may lie in the border."""
    simd, pe, levels = block.number("SIMD"), block.number("PE"), block.levels()
    width = block.bits("sumDataType") + (block.number("shift") > 0)
    tags = (2 if block.group_steps() > 1 else 1) + border
    pairs = block.pairs()
    parts.counts.update({"lanes": pe, "sums": pe * width})
    parts.ffs += pe * width + 1
    if way == "packed" and pairs is not None:
        dot, moved = pairs.cells(pe, width)
        parts.lutram += moved
        parts.counts["added"] += pe * (pairs.cascades - 1) * (pairs.field + 1)
        parts.counts["deep"] += tree_levels(pairs.cascades)
    elif way == "planes":
        dot = levels.planes(simd, width).times(pe).also(tag(dot_cycles(simd), tags))
    else:
        lane, counts = levels.coded(simd, width)
        dot = lane.times(pe).also(tag(dot_cycles(simd), tags))
        parts.counts.update({name: pe * count for name, count in counts.items()})
    parts.luts += dot.luts
    parts.ffs += dot.ffs


def _add_results(parts: Parts, block: PaBlock, compute: int) -> None:
    """Add ``pa_results``: sums that wait, the shortcut, the total and what leaves."""
    pe, out, shift = block.number("PE"), block.bits("outputDataType"), block.number("shift")
    shortcut = str(block.get_nodeattr("shortcut"))
    aligned = block.number("shortcutShift") if shortcut != "none" else shift
    width, drop = block.bits("sumDataType") + (shift > 0), min(aligned, shift)
    kept = max(1, width - drop)
    addend = out + aligned - drop if shortcut != "none" else 1
    total = max(max(kept, addend) + 1, shift - drop + out)
    parts.loops(pe)
    if pe * block.folds() != block.number("OFMChannels"):
        parts.loops(pe * block.folds())
    parts.ffs += pe * kept + 4 + total + out
    parts.counts.update({"held": pe * kept if pe > 1 else 0, "total": total, "out": out})
    if shortcut == "none":
        return
    parts.counts.update({"shortcut": 1, "addend": addend})
    parts.ffs += 2 + 2 * kept
    if shortcut == "own":
        own = block.shortcut_ram(compute)
        parts.loops(own.depth, own.depth)
        parts.memory_in_parts(own)
        parts.ffs += 1 + 2 * out
    else:
        parts.ffs += 3 * out + 1

# SPDX-License-Identifier: Apache-2.0
"""LUTs and flip-flops of ``bit_heap.sv`` and what stands around it: cells that sources name, so
they are counted. Mirrors the plan that the RTL makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

CHAIN_LENGTH = 5
"""LUTs in a row of ``bit_heap_gates.sv``."""
TAG_BITS = 2
"""Bits of the tag that travels beside a dot product."""
GROUP_LUTS = (0, 0, 1, 2, 3.5)
"""LUTs of a bit of a sum of so many operands in ``adder_tree.sv``."""
AND, XNOR, PLAIN = "and", "xnor", "plain"
"""How two bits meet; plain: one alone."""


class Cells(NamedTuple):
    """LUTs and flip-flops."""

    luts: float = 0
    ffs: float = 0

    def also(self, other: Cells) -> Cells:
        """Both."""
        return Cells(self.luts + other.luts, self.ffs + other.ffs)

    def times(self, number: int) -> Cells:
        """So many of them."""
        return Cells(number * self.luts, number * self.ffs)


def _counters(height: int) -> tuple[int, int]:
    """Counters of six or seven bits of a column, and the bits left over."""
    sevens = (height + 1) // 7
    return sevens, max(0, height - 7 * sevens)


def heap(heights: Sequence[int], width: int, stages: int, constant: int = 0) -> Cells:
    """Return the cells of a ``bit_heap``.

    Args:
        heights: bits of each column, from weight 1 up.
        width: bits of the sum.
        stages: cycles.
        constant: what is added.
    """
    level = [(heights[c] if c < len(heights) else 0) + (constant >> c & 1) for c in range(width)]
    # Ones of the constant that no counter took yet, by their place in the column: they rest in
    # one flip-flop of a level.
    ones = {c: height - 1 for c, height in enumerate(level) if constant >> c & 1}
    luts = ffs = 0
    for _ in range(stages - 1):
        tall = max(level) > 10
        carries = seconds = below = 0
        following = []
        for column, height in enumerate(level):
            sevens, left = _counters(height)
            coming = sevens + left + carries + seconds
            three = int(left >= 3 and coming > 3 and not tall)
            seconds, below, carries = below, sevens, sevens + three
            following.append(coming - 2 * three)
            luts += 2 * sevens + three
            place = ones.pop(column, -1) - 7 * sevens - 3 * three
            if place >= 0:
                ones[column] = place + sevens + three
        level = following
        ffs += sum(level) - max(0, len(ones) - 1)
    single = next((c for c, height in enumerate(level) if height > 1), width)
    return Cells(luts + width - single, ffs + width)


def gates(pairs: int) -> Cells:
    """Return the cells of ``bit_heap_gates``: a LUT per two pairs of bits."""
    sums, carries = gate_outputs(pairs)
    return Cells(carries, sums + carries)


def gate_outputs(pairs: int) -> tuple[int, int]:
    """Sums and carries that ``bit_heap_gates`` leaves of so many pairs."""
    carries = -(-pairs // 2)
    return -(-carries // CHAIN_LENGTH), carries


def tag(cycles: int, bits: int = TAG_BITS) -> Cells:
    """Return the cells of ``bit_heap_tag`` for a tag of some bits that differ."""
    return Cells(0, cycles * (1 + bits))


def popcount(bits: int, gate: str) -> Cells:
    """Return the cells of a lane of ``gated_popcount``, without the tag."""
    width, cycles = bits.bit_length(), popcount_cycles(bits)
    if gate == PLAIN:
        return heap([bits], width, cycles)
    return gates(bits).also(heap(gate_outputs(bits), width, cycles - 1))


def popcount_cycles(bits: int) -> int:
    """Cycles of a ``gated_popcount``."""
    return max(3, (bits - 1).bit_length() - 1)


def planes(simd: int, bits: int, gate: str, stages: int) -> Cells:
    """Return the cells of a ``binary_plane_heap`` of codes of some bits."""
    width = (simd * ((1 << bits) - 1)).bit_length()
    if gate == PLAIN:
        return heap([simd] * bits, width, stages)
    sums, carries = gate_outputs(simd)
    heights = [(sums if c < bits else 0) + (carries if 0 < c <= bits else 0) for c in range(width)]
    return gates(simd).times(bits).also(heap(heights, width, stages - 1))


def tree_registers(operands: int, bits: int, width: int, levels: int | None = None) -> int:
    """Return the flip-flops of a lane of ``adder_tree``: sums of two or four, level by level.

    Args:
        operands: operands of a sum.
        bits: bits of an operand.
        width: bits of the sum.
        levels: cycles, where there are more than it needs.
    """
    taken = tree_levels(operands) if levels is None else levels
    grows = 2 if 2**taken < operands else 1
    return sum(
        -(-operands // 2 ** (grows * k)) * min(bits + grows * k, width) for k in range(1, 1 + taken)
    )


def tree_luts(operands: int, bits: int, width: int) -> float:
    """Return the LUTs of a lane of ``adder_tree``, as mapped: two operands are a carry chain, three
    are first made two by a LUT per bit, four are so twice.

    Args: see `tree_registers`.
    """
    grows = 2 if 2 ** tree_levels(operands) < operands else 1
    luts = 0.0
    for level in range(1, 1 + tree_levels(operands)):
        groups, rest = divmod(operands, 2**grows)
        sums = groups * GROUP_LUTS[2**grows] + GROUP_LUTS[rest]
        luts += sums * min(bits + grows * level, width)
        operands = groups + (rest > 0)
    return luts


def tree_levels(operands: int) -> int:
    """Cycles of an ``adder_tree``."""
    return ((operands - 1).bit_length() + 1) // 2

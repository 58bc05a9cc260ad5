# SPDX-License-Identifier: Apache-2.0
"""Binary search among the thresholds of a channel: its tables, their images and its cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from qonnx.core.datatype import BaseDataType, DataType

from ...quant.grid import IntArray
from .base import hex_memory
from .costs import Structure, loop_counts
from .facts import Facts
from .memory import (
    LUTS_PER_BRAM18,
    ReadOnlyMemory,
    bram18_blocks,
    held_luts,
    rom_luts,
    shared_blocks,
)

SOURCES = (
    "rtl/stream_register.sv",
    "rtl/rom_stream.sv",
    "rtl/adder_tree.sv",
    "rtl/threshold_parallel.sv",
    "rtl/threshold_table.sv",
    "rtl/threshold_search.sv",
    "rtl/threshold_codes.sv",
)
"""Of the core of both kernels of thresholds."""
COUNTED = "counted_constants"
"""Node attribute: lanes, and of memories in LUTs that these make LUTs and flip-flops as counted
from what they hold. Empty where nothing was counted."""
COUNTED_TYPE: tuple[Any, ...] = ("ints", False, [])
"""The FINN nodeattr type of it."""


def strangers(values: npt.NDArray[Any], datatype: BaseDataType) -> npt.NDArray[np.bool_]:
    """Which numbers an integer datatype does not have."""
    ends = float(datatype.min()), float(datatype.max())
    held: npt.NDArray[np.bool_] = (values == np.rint(values)) & (ends[0] <= values)
    held &= values <= ends[1]
    if datatype == DataType["BIPOLAR"]:
        held &= values != 0
    return ~held


class CountsConstants(Facts):
    """An RTL op whose memories of thresholds are counted from what they hold: those of networks
    often are the same number in several columns, or the same for all channels."""

    if TYPE_CHECKING:

        def set_nodeattr(self, name: str, value: Any) -> None:
            """FINN's."""

        def memories(self, model: Any) -> dict[str, str]:
            """See `RtlKernel`."""

    def held(self) -> list[ReadOnlyMemory]:
        """The memory of each of the images in `memories`."""
        raise NotImplementedError

    def count_constants(self, model: Any) -> None:
        """Note the lanes, LUTs and flip-flops."""
        luts = registers = 0
        for memory, image in zip(self.held(), self.memories(model).values(), strict=True):
            if not memory.block:
                more = held_luts([int(word, 16) for word in image.split()])
                luts, registers = luts + more[0], registers + more[1]
        self.set_nodeattr(COUNTED, [int(self.get_nodeattr("PE")), luts, registers])

    def structure(self) -> Structure:
        """What the node is made of; its memories as counted where that was with the same lanes."""
        found, counted = super().structure(), self.get_nodeattr(COUNTED)
        if not counted or counted[0] != self.get_nodeattr("PE"):
            return found
        random = [memory for memory in self.held() if not memory.block]
        more = counted[2] - sum(memory.registers for memory in random)
        return replace(
            found,
            counts={**found.counts, "registers": found.counts["registers"] + more},
            luts=found.luts + counted[1] - sum(memory.luts for memory in random),
            ffs=found.ffs + more if found.ffs else 0,
        )


def search_stages(steps: int) -> int:
    """Return the comparisons that a binary search among ``steps`` thresholds takes."""
    return steps.bit_length()


def search_entries(steps: int, stage: int) -> int:
    """Return the entries per channel of a search's table: as many as its index takes values."""
    return (steps >> (search_stages(steps) - stage)) + 1


def search_tables(
    thresholds: IntArray, steps: IntArray, base: IntArray, low: int, high: int
) -> list[IntArray]:
    """Return the tables of a binary search for inputs low..high.

    Table s < S, S = `search_stages`, is (C, `search_entries`): entry i holds the largest x - low
    that does not reach the ascending threshold number (2i + 1) 2^(S-1-s) - 1, high - low where none
    exists. Table S is (C, n + 1): the code where i thresholds are reached.

    Args:
        thresholds: (C, n) integers, in any order.
        steps: (C, n) of -1 and +1.
        base: (C,) the code below every threshold.
        low: smallest input.
        high: largest input.
    """
    count = thresholds.shape[1]
    always = thresholds <= low
    # What every x reaches is part of the start; what none does fills up the end.
    start = base + np.where(always, steps, 0).sum(axis=1)
    reached = np.where(always | (thresholds > high), high + 1, thresholds)
    order = np.argsort(reached, axis=1, kind="stable")
    largest = np.take_along_axis(reached, order, 1) - 1 - low
    sums = np.take_along_axis(steps, order, 1).cumsum(axis=1)
    padded = np.pad(largest, ((0, 0), (0, 1)), constant_values=high - low)
    stages = search_stages(count)
    tables = []
    for stage in range(stages):
        node = 1 << (stages - stage)
        at = node * np.arange(search_entries(count, stage)) + node // 2 - 1
        tables.append(padded[:, at.clip(max=count)])
    return [*tables, start[:, None] + np.pad(sums, ((0, 0), (1, 0)))]


def search_images(
    prefix: str, tables: Sequence[IntArray], lanes: int, bits: int, code_bits: int
) -> dict[str, str]:
    """Return one memory image per table and lane: the lane's channels, one after the other.

    Args:
        prefix: what the names begin with.
        tables: see `search_tables`.
        lanes: channels of a word.
        bits: bits of an input.
        code_bits: bits of a code.
    """
    widths = [bits] * (len(tables) - 1) + [code_bits]
    return {
        f"{prefix}_{stage}_{lane}.mem": hex_memory(table[lane::lanes].reshape(-1).tolist(), width)
        for stage, (table, width) in enumerate(zip(tables, widths, strict=True))
        for lane in range(lanes)
    }


def search_structure(lanes: int, groups: int, steps: int, bits: int, code_bits: int) -> Structure:
    """Return what a search is made of: comparators, tables and their addresses.

    Args:
        lanes: channels of a word.
        groups: channels of a lane.
        steps: thresholds of a channel.
        bits: bits of an input.
        code_bits: bits of a code.
    """
    stages = search_stages(steps)
    tables = search_memories(groups, steps, bits, code_bits)
    # The first entry of a channel is counted; where entries are a power of two, channels alone are.
    counted = added = 0
    for stage, table in enumerate(tables):
        entries, address = search_entries(steps, stage), (table.depth - 1).bit_length()
        aligned = entries & (entries - 1) == 0
        counted += (groups - 1).bit_length() if aligned else address
        added += 0 if aligned else address
    # Of a number that passes, of the places found so far, of the words read and of those that leave
    passing = bits * (2 * stages - 1) + stages**2 + 2 * code_bits
    counts: dict[str, float] = {
        "one": 1,
        "stages": stages,
        "lanes": lanes,
        "compared": lanes * stages * bits,
        "codes": lanes * code_bits,
        "registers": lanes * (passing + sum(read_registers(table) for table in tables)),
    }
    ffs = counts["registers"] + 2 * stages + 3
    if groups > 1:
        counts |= {"added": lanes * added, "groups": counted}
        ffs += counts["groups"]
    return Structure(
        counts,
        luts=lanes * sum(table.luts for table in tables),
        ffs=ffs if groups > 1 else 0,  # of constants many flip-flops are as well
        bram18=lanes * sum(table.brams for table in tables),
        table="search" if groups > 1 else "search of constants",
    )


def read_registers(table: ReadOnlyMemory) -> int:
    """Flip-flops of the word that is read of a table, which block RAM has itself."""
    return 0 if table.block else table.registers


def search_memories(groups: int, steps: int, bits: int, code_bits: int) -> list[ReadOnlyMemory]:
    """Return the tables that each lane of a search has."""
    stages = search_stages(steps)
    return [
        ReadOnlyMemory(groups * search_entries(steps, stage), bits if stage < stages else code_bits)
        for stage in range(stages + 1)
    ]


def block_tables(memories: Sequence[ReadOnlyMemory]) -> int:
    """Return which tables lie in block RAM, bit s for table s."""
    return sum(table.block << stage for stage, table in enumerate(memories))


def parallel_structure(
    lanes: int, groups: int, steps: int, bits: int, threshold_bits: int, code_bits: int, *,
    directions: bool, levels: int = 0, place: str = "auto",
) -> Structure:  # fmt: skip
    """Return what comparing with all thresholds at once is made of.

    Args:
        lanes: channels of a word.
        groups: channels of a lane.
        steps: thresholds of a channel.
        bits: bits of an input.
        threshold_bits: bits of a threshold.
        code_bits: bits of a code.
        directions: steps go up or down, from a start per channel.
        levels: bits that say a level each, instead of a code.
        place: where the parameters lie, see `ReadOnlyMemory`.
    """
    width = lanes * lane_bits(steps, threshold_bits, code_bits, directions)
    rom = ReadOnlyMemory(groups, width, place)
    sums = registers = depth = 0
    terms, width = steps, 1
    while terms > 1:
        depth, width = depth + 1, min(width + 2, code_bits)
        groups_of_four = -(-terms // 4)
        sums += (terms - groups_of_four) * width
        registers += groups_of_four * width
        terms = groups_of_four
    # The starts travel beside the sums, from the third level on as shift registers.
    starts = code_bits if directions and groups > 1 else 0
    moved = starts if depth > 2 else 0
    out = levels or code_bits
    held = steps + registers + starts * (1 if moved else 1 + depth) + 3 * out
    if steps == 1 and not directions:  # a comparison between the memory and the output's registers
        held = 2 * out
    counts: dict[str, float] = {
        "one": 1,
        "compared": lanes * steps * max(bits, threshold_bits),
        "steps": lanes * steps,
        "sums": lanes * sums,
        "starts": lanes * starts,
        "out": lanes * out,
        "levels": lanes * levels,
        "registers": lanes * held + rom.registers,
        "depth": depth,
        **loop_counts((groups,)),
    }
    return Structure(
        counts,
        luts=rom.luts,
        lutram=lanes * moved,
        bram18=rom.brams,
        table="parallel" if groups > 1 else "constants",
    )


def lane_bits(steps: int, threshold_bits: int, code_bits: int, directions: bool) -> int:
    """Return the bits of one channel's parameters: thresholds, directions, start."""
    return steps * (threshold_bits + directions) + code_bits * directions


def turn_tables(tables: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
    """Return the tables of a search as the two memories of ``threshold_turns.sv``.

    Args:
        tables: see `search_tables`.

    Returns:
        (C, 2**S) thresholds in the order of a heap, word 0 unused, and (C, 2**S) codes.
    """
    *stages, codes = tables
    size = 1 << len(stages)
    thresholds = np.zeros((len(codes), size), dtype=np.int64)
    for stage, table in enumerate(stages):
        first = 1 << stage
        # Nodes without an entry lie behind the last threshold, and are never reached.
        thresholds[:, first : first + table.shape[1]] = table
    return thresholds, np.pad(codes, ((0, 0), (0, size - codes.shape[1])))


class TurnMemories(NamedTuple):
    """The two memories of ``threshold_turns.sv``, in block RAM where that is cheaper."""

    searchers: int
    """1 or 2. Two have a port each; in LUTs a memory each."""
    depth: int
    bits: int
    """Bits of a threshold."""
    code_bits: int

    @property
    def brams(self) -> int:
        """18 Kbit block RAMs in use."""
        return self._blocks() if self.block else 0

    @property
    def luts(self) -> int:
        """LUTs of the memories."""
        return 0 if self.block else self._luts()

    @property
    def block(self) -> bool:
        """Whether they lie in block RAM."""
        return self._luts() > LUTS_PER_BRAM18 * self._blocks()

    @property
    def part_registers(self) -> int:
        """Flip-flops behind the parts of a searcher's memories in LUTs."""
        if self.block:
            return 0
        widths = (self.bits, self.code_bits)
        return sum(ReadOnlyMemory(self.depth, w, "lut").part_registers for w in widths)

    def _blocks(self) -> int:
        blocks = bram18_blocks if self.searchers == 1 else shared_blocks
        return sum(blocks(self.depth, width) for width in (self.bits, self.code_bits))

    def _luts(self) -> int:
        return self.searchers * sum(rom_luts(self.depth, w) for w in (self.bits, self.code_bits))

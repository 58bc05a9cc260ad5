# SPDX-License-Identifier: Apache-2.0
"""Binary search among the thresholds of a channel: its tables, their images and its cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...quant.grid import IntArray
from .base import hex_memory
from .memory import bram18_blocks, least_rom_cost, shared_blocks


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


def search_cost(lanes: int, groups: int, steps: int, bits: int, code_bits: int) -> tuple[int, int]:
    """Return LUTs and BRAM18 of a search: comparators, tables and their addresses.

    Args:
        lanes: channels of a word.
        groups: channels of a lane.
        steps: thresholds of a channel.
        bits: bits of an input.
        code_bits: bits of a code.
    """
    stages = search_stages(steps)
    lane = stages * -(-bits // 2)
    shared, blocks = 20, 0
    for stage in range(stages + 1):
        depth = groups * search_entries(steps, stage)
        luts, ram = least_rom_cost(bits if stage < stages else code_bits, depth)
        address = (depth - 1).bit_length()
        lane += luts + (address if stage > 0 else 0)
        shared += address if groups > 1 else 0
        blocks += lanes * ram
    return lanes * lane + shared, blocks


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


def turn_cost(
    searchers: int, channels: int, steps: int, bits: int, code_bits: int
) -> tuple[int, int]:
    """Return LUTs and BRAM18 of ``threshold_turns.sv``.

    Args:
        searchers: 1 or 2.
        channels: channels of a pixel.
        steps: thresholds of a channel.
        bits: bits of an input.
        code_bits: bits of a code.
    """
    depth, widths = channels << search_stages(steps), (bits, code_bits)
    logic = searchers * (2 * bits + 15) + 15
    if turns_in_block(channels, steps, bits):
        # Two searchers have a port each, of at most 18 bits.
        blocks = bram18_blocks if searchers == 1 else shared_blocks
        return logic, sum(blocks(depth, width) for width in widths)
    return logic + sum(searchers * least_rom_cost(width, depth)[0] for width in widths), 0


def turns_in_block(channels: int, steps: int, bits: int) -> bool:
    """Whether the memories of ``threshold_turns.sv`` lie in block RAM: where that is cheaper for
    the thresholds."""
    return least_rom_cost(bits, channels << search_stages(steps))[1] > 0

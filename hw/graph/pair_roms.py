# SPDX-License-Identifier: Apache-2.0
"""Constants of two nodes in memories that both read, each at its own port of block RAM.

A block RAM has two ports. A node that reads weights and parameters in one memory has both, so two
such nodes share two memories: one with the weights of both, one with the parameters of both. What
one memory leaves empty at its end is left empty once for two nodes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations, count
from typing import Any

from qonnx.core.modelwrapper import ModelWrapper

from ..kernels.costs import Usage
from ..kernels.memory import OutsideRom, shared_blocks, shared_select
from ..kernels.ops import op_of
from .folding_file import FoldingError

SHARED_ROM = "shared_rom"
"""Attribute of both nodes of a pair: the name that its memories begin with."""
KIND = "SharedRom"
"""What a shared memory is called where nodes have the type of their op."""
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class SharedRom:
    """One memory that two nodes read, the words of the first before those of the second."""

    pair: str
    nodes: tuple[str, str]
    parts: tuple[OutsideRom, OutsideRom]

    @property
    def name(self) -> str:
        """Its name among the nodes."""
        return f"{self.pair}_{self.parts[0].name}"

    @property
    def width(self) -> int:
        """Bits of a word: of the wider one."""
        return max(part.width for part in self.parts)

    @property
    def depth(self) -> int:
        """Words of both."""
        return sum(part.depth for part in self.parts)

    @property
    def space(self) -> int:
        """Bits of an address."""
        return max(1, (self.depth - 1).bit_length())

    @property
    def usage(self) -> Usage:
        """What it takes."""
        select = shared_select(self.depth, self.width)
        return Usage(lut=select, bram18=shared_blocks(self.depth, self.width))


@dataclass(frozen=True)
class Pair:
    """Two nodes that share their constants."""

    name: str
    nodes: tuple[str, str]
    change: Usage
    """What the network takes more by it, or less."""


def shared_roms(model: ModelWrapper) -> list[SharedRom]:
    """Return the memories that nodes of a graph share, in the order of the graph.

    Raises:
        FoldingError: a name stands at one node, or at more than two, or at nodes whose memories
            differ in kind, or is none.
    """
    groups: dict[str, list[Any]] = defaultdict(list)
    for node in model.graph.node:
        found = next((a.s.decode() for a in node.attribute if a.name == SHARED_ROM), "")
        if found:
            groups[found].append(op_of(node))
    taken = {node.name for node in model.graph.node}
    roms = []
    for pair, ops in groups.items():
        names = [op.onnx_node.name for op in ops]
        kinds = {tuple(part.name for part in op.outside_roms()) for op in ops}
        if len(ops) != 2 or len(kinds) != 1:
            raise FoldingError(
                f"{names[0]}: found {SHARED_ROM} '{pair}' at {', '.join(names)}, expected it at "
                f"two nodes of one op (folding: {names[0]}.{SHARED_ROM})"
            )
        for parts in zip(*(op.outside_roms() for op in ops), strict=True):
            roms.append(SharedRom(pair, (names[0], names[1]), parts))
            if roms[-1].name in taken or pair in taken or not IDENTIFIER.fullmatch(pair):
                raise FoldingError(
                    f"{names[0]}: found {SHARED_ROM} '{pair}', expected letters, digits and _ that "
                    f"name no node (folding: {names[0]}.{SHARED_ROM})"
                )
    return roms


def pair_roms(model: ModelWrapper, fixed: Collection[tuple[str, str]] = ()) -> list[Pair]:
    """Pair nodes of a folded graph whose constants then take fewer block RAMs, in place.

    Those first that give most; of equal ones neighbours, and each node once.

    Args:
        model: folded dataflow graph of RTL ops.
        fixed: (node, attribute) that are to stay as they are.

    Returns:
        The pairs made.
    """
    ops = [op for op in map(op_of, model.graph.node) if _free(op, fixed)]
    apart = [op.stated() for op in ops]
    outside = [_outside(op) for op in ops]
    found = []
    for i, j in combinations(range(len(ops)), 2):
        parts = ops[i].outside_roms(), ops[j].outside_roms()
        if [part.name for part in parts[0]] != [part.name for part in parts[1]]:
            continue
        change = outside[i] + outside[j] - apart[i] - apart[j]
        for pair in zip(*parts, strict=True):
            change += SharedRom("", ("", ""), pair).usage
        if change.bram18 < 0:
            found.append((change.bram18, change.lut, j - i, i, j, change))
    taken = {rom.pair for rom in shared_roms(model)}
    free = (name for name in (f"{SHARED_ROM}_{n}" for n in count()) if name not in taken)
    pairs: list[Pair] = []
    used: set[int] = set()
    for *_, i, j, change in sorted(found, key=lambda entry: entry[:5]):
        if used.isdisjoint((i, j)):
            used |= {i, j}
            pairs.append(Pair(next(free), (_name(ops[i]), _name(ops[j])), change))
            for op in (ops[i], ops[j]):
                op.set_nodeattr(SHARED_ROM, pairs[-1].name)
    return pairs


def part_again(model: ModelWrapper, pairs: Collection[Pair]) -> None:
    """Give the nodes of pairs their own memories again, in place."""
    parted = {name for pair in pairs for name in pair.nodes}
    for node in model.graph.node:
        if node.name in parted:
            op_of(node).set_nodeattr(SHARED_ROM, "")


def _name(op: Any) -> str:
    return str(op.onnx_node.name)


def _free(op: Any, fixed: Collection[tuple[str, str]]) -> bool:
    """Whether a node may be paired: it has such memories, is in no pair, and nobody placed them."""
    return (
        bool(op.outside_roms())
        and not op.get_nodeattr(SHARED_ROM)
        and not any((_name(op), attribute) in fixed for attribute in (SHARED_ROM, "rom"))
    )


def _outside(op: Any) -> Usage:
    """What a node takes without its memories; it stays as it is."""
    op.set_nodeattr(SHARED_ROM, SHARED_ROM)
    found: Usage = op.stated()
    op.set_nodeattr(SHARED_ROM, "")
    return found

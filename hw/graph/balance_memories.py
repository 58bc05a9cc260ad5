# SPDX-License-Identifier: Apache-2.0
"""Trade what a part has too little of for what it has left.

Memories move between block RAM and LUTs, those first that give most for what they take; then ops
that can be computed in several ways are computed in another one, such as with fewer DSPs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qonnx.core.modelwrapper import ModelWrapper

from ..kernels.choice import IMPLEMENTATION, ChosenKernel
from ..kernels.costs import RESOURCES, Usage
from ..kernels.ops import op_of

TRADED = ("dsp", "bram18", "lut")
"""What is traded, in this order: LUTs last, because they take in what leaves the others."""


@dataclass(frozen=True)
class Move:
    """One node's memory in another place, or another way to compute it."""

    node: str
    attribute: str
    value: str
    before: str
    change: Usage
    """What the network takes more by it, or less."""


def balance(
    model: ModelWrapper,
    used: Usage,
    allowed: Usage,
    cycles: int,
    fixed: Collection[tuple[str, str]] = (),
) -> tuple[Usage, list[Move]]:
    """Set places of memories and implementations in a folded graph, in place.

    Args:
        model: folded dataflow graph of RTL ops.
        used: what it takes, with what stands on its edges.
        allowed: what it may take.
        cycles: cycles per frame that no node may exceed by a move.
        fixed: (node, attribute) that are to stay as they are.

    Returns:
        What it takes then, and the moves; more than allowed where nothing helps, without a move
        where all of them together would not.
    """
    ops = {node.name: op_of(node) for node in model.graph.node}
    choices = {name: list(_moves(op, cycles, fixed)) for name, op in ops.items()}
    moves: list[Move] = []
    if not all(_in_reach(choices.values(), name, used, allowed) for name in TRADED):
        return used, moves
    for resource in TRADED:
        while getattr(used, resource) > getattr(allowed, resource):
            every = (move for group in choices.values() for move in group)
            move = _best(every, resource, used, allowed)
            if move is None:
                break
            op = ops[move.node]
            op.set_nodeattr(move.attribute, move.value)
            choices[move.node] = list(_moves(op, cycles, fixed))
            used += move.change
            moves.append(move)
    return _take_back(ops, moves, used, allowed), moves


def _in_reach(
    choices: Iterable[Iterable[Move]], resource: str, used: Usage, allowed: Usage
) -> bool:
    """Whether enough of a resource becomes free if every node gives the most of it that it can."""
    free = 0
    for moves in choices:
        most: dict[str, int] = {}
        for move in moves:
            gain = -getattr(move.change, resource)
            most[move.attribute] = max(most.get(move.attribute, 0), gain)
        free += sum(most.values())
    return bool(getattr(used, resource) - free <= getattr(allowed, resource))


def _best(moves: Iterable[Move], resource: str, used: Usage, allowed: Usage) -> Move | None:
    """The move that gives most of a resource for what it takes of the others."""
    best: tuple[float, Move] | None = None
    for move in moves:
        gain = -getattr(move.change, resource)
        if gain <= 0 or not _bearable(resource, move, used, allowed):
            continue
        price = _price(resource, move, allowed) / gain
        if best is None or price < best[0]:
            best = price, move
    return None if best is None else best[1]


def _bearable(resource: str, move: Move, used: Usage, allowed: Usage) -> bool:
    """Whether nothing that was traded before, or is never traded, becomes too much by a move."""
    later = TRADED[TRADED.index(resource) + 1 :]
    return all(
        getattr(move.change, name) <= 0
        or getattr(used + move.change, name) <= getattr(allowed, name)
        for name in RESOURCES
        if name not in later
    )


def _price(resource: str, move: Move, allowed: Usage) -> float:
    """Shares of the other resources that a move takes."""
    return sum(
        max(0, getattr(move.change, name)) / max(1, getattr(allowed, name))
        for name in TRADED
        if name != resource
    )


def _moves(op: Any, cycles: int, fixed: Collection[tuple[str, str]]) -> Iterator[Move]:
    """What could be set otherwise in a node, one attribute at a time; the node stays as it is."""
    name = op.onnx_node.name
    choices = {a: v for a, v in op.places.items() if (name, a) not in fixed}
    if isinstance(op, ChosenKernel) and (name, IMPLEMENTATION) not in fixed:
        choices[IMPLEMENTATION] = tuple(op.usage())
    now = op.stated() if choices else Usage()
    for attribute, values in choices.items():
        before = str(op.get_nodeattr(attribute))
        for value in values:
            if value == before:
                continue
            op.set_nodeattr(attribute, value)
            change = op.stated() - now
            if change != Usage() and op.get_exp_cycles() <= cycles:
                yield Move(name, attribute, value, before, change)
            op.set_nodeattr(attribute, before)


def _take_back(ops: Mapping[str, Any], moves: list[Move], used: Usage, allowed: Usage) -> Usage:
    """Undo what was not needed in the end: a later move may have given more than was missing."""
    for move in sorted(moves, key=lambda m: -m.change.lut):
        # Where a node was changed twice, one change depends on the other.
        alone = sum(m.node == move.node for m in moves) == 1
        without = used - move.change
        if alone and without.within(allowed):
            ops[move.node].set_nodeattr(move.attribute, move.before)
            moves.remove(move)
            used = without
    return used

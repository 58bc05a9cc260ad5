# SPDX-License-Identifier: Apache-2.0
"""Shared engines: chains of units of equal shape become one node, if they are asked for.

Kernels that can stand for such a chain have a ``share.py``; this pass knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from .. import kernels
from ..kernels.costs import Usage
from ..kernels.fused import Fusion
from ..kernels.ops import op_of
from .folding_file import FoldingError
from .fuse import fuse
from .usage import NodeUsage, total


class SharingError(FoldingError):
    """A chain was asked for that there is not, or that cannot be shared."""


def chains(model: ModelWrapper) -> dict[str, Fusion]:
    """Return the chains of units of a specialised, unfolded graph that one node could stand for.

    Args:
        model: the lowered graph.

    Returns:
        Name -> what takes its place; a chain's name is what the names of its nodes begin with.
    """
    kernels.register()
    names = [f"{kernels.__name__}.{kernel}.share" for kernel in kernels.KERNELS]
    found: dict[str, Fusion] = {}
    for name in names:
        if find_spec(name) is not None:
            found.update(import_module(name).chains(model))
    return found


def chosen(model: ModelWrapper, names: Collection[str]) -> dict[str, Fusion]:
    """Return those chains that are asked for, in the order of the graph.

    Raises:
        SharingError: there is no chain of a name.
    """
    known = chains(model)
    for name in names:
        if name not in known:
            raise SharingError(
                f"--share: found no chain of equal units '{name}', expected "
                f"{', '.join(known) or 'none: the network has no such chain'}"
            )
    return {name: fusion for name, fusion in known.items() if name in names}


def pattern(fusions: Mapping[str, Fusion]) -> Callable[[ModelWrapper, NodeProto], Fusion | None]:
    """Return what `fuse.fuse` looks for to put one node in the place of each chain."""
    first = {fusion.nodes[0].name: fusion for fusion in fusions.values()}
    return lambda model, node: first.get(node.name)


def in_engines(lowered: ModelWrapper, model: ModelWrapper, names: Collection[str]) -> list[str]:
    """Return those of the chains named that are one node each in the hardware's graph."""
    whole = {frozenset(op_of(node).stands_for()) for node in model.graph.node}
    found = chosen(lowered, names).items()
    return [name for name, chain in found if frozenset(n.name for n in chain.nodes) in whole]


def require(lowered: ModelWrapper, model: ModelWrapper, names: Collection[str]) -> None:
    """Refuse a hardware's graph in which a chain was left apart.

    Raises:
        SharingError: one engine cannot keep the target, or a folding names the nodes inside.
    """
    left = set(names) - set(in_engines(lowered, model, names))
    if left:
        raise SharingError(
            f"--share: {', '.join(sorted(left))} cannot be one engine at this target, or by this "
            "folding; ask for more cycles per frame, or leave it out"
        )


def named_by(
    lowered: ModelWrapper, known: Mapping[str, Fusion], folding: Collection[str]
) -> list[str]:
    """Return the chains whose engine a folding names."""
    shared = fuse(lowered, [pattern(known)])
    named = {n for node in shared.graph.node if node.name in folding
             for n in op_of(node).stands_for()}  # fmt: skip
    return [name for name, chain in known.items() if chain.nodes[0].name in named]


def taken(model: ModelWrapper, rows: Iterable[NodeUsage], chain: Fusion) -> Usage:
    """Return what the nodes of a chain take in a hardware's graph, apart or as one."""
    inside = {node.name for node in chain.nodes}
    stand = {node.name: op_of(node).stands_for() or (node.name,) for node in model.graph.node}
    return total(row for row in rows if inside.issuperset(stand.get(row.name, ("",))))

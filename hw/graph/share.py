# SPDX-License-Identifier: Apache-2.0
"""Shared engines: chains of units of equal shape become one node, if they are asked for.

Kernels that can stand for such a chain have a ``share.py``; this pass knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from importlib.util import find_spec

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from .. import kernels
from ..kernels.fused import Fusion


class SharingError(ValueError):
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

# SPDX-License-Identifier: Apache-2.0
"""ShuffleConcat on the CPU: the channels of two tensors in turn."""

from __future__ import annotations

from ...cpu.ops import moves
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    left, right = p.read(node, 0), p.read(node, 1)
    datatype = p.types[left]
    if p.types[right] != datatype or p.at(left).shape != p.at(right).shape:
        raise ModelError(
            f"{node.where}: found {datatype.name} {p.at(left).shape} and "
            f"{p.types[right].name} {p.at(right).shape}, expected the same of both"
        )
    storage = moves.shared_storage(p, [left, right])
    left, right = p.stored(left, storage), p.stored(right, storage)
    shape = [*p.at(left).shape[:-1], 2 * p.at(left).channels]
    out = p.result(node, shape, datatype, storage)
    moves.shuffle(p, node, left, right, out)
    p.finish(node, out)


CPU = {"ShuffleConcat": Lowering(lower)}

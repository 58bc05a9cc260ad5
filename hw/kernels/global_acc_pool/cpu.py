# SPDX-License-Identifier: Apache-2.0
"""GlobalAccPool on the CPU: sums over all pixels."""

from __future__ import annotations

from ...cpu.ops import moves, pools
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import STORAGE, DataType, ModelError


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.stored(p.read(node), *moves.WHOLE)
    source, datatype = p.at(index), p.types[index]
    low, high = datatype.low * source.pixels, datatype.high * source.pixels
    if low < STORAGE["i32"][0] or high > STORAGE["i32"][1]:
        raise ModelError(f"{node.where}: sums of {source.pixels} pixels do not fit 32 bits")
    signed = low < 0
    bits = 1 + max((-low - 1).bit_length(), high.bit_length()) if signed else high.bit_length()
    name = f"{'INT' if signed else 'UINT'}{max(1, bits)}"
    shape = [1] * (len(source.shape) - 1) + [source.channels]
    out = p.sums(node, shape, DataType(name, low, high))
    pools.sum_pool(p, node, index, out)


CPU = {"GlobalAccPool": Lowering(lower)}

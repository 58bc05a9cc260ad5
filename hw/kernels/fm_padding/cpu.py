# SPDX-License-Identifier: Apache-2.0
"""FMPadding on the CPU that no product takes in: a copy with a border of code 0."""

from __future__ import annotations

from ...cpu.ops import moves
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.windows import PADDING, bordered


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.read(node)
    geometry = bordered(p, node, index)
    source = p.at(index)
    shape = [geometry.out_height, geometry.out_width, source.channels]
    out = p.result(node, shape, p.types[index], source.storage)
    moves.pad(p, node, index, out, geometry)
    p.finish(node, out)


CPU = {PADDING: Lowering(lower)}

# SPDX-License-Identifier: Apache-2.0
"""StreamFlatten on the CPU: one window that is the whole map."""

from __future__ import annotations

from ...cpu.ops import moves
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.windows import Geometry, check_picture


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.stored(p.read(node), *moves.WHOLE)
    source = p.at(index)
    height, width = size = node.ints("ImgDim", 2)
    check_picture(p, node, index, size)
    geometry = Geometry(height, width, kernel_y=height, kernel_x=width)
    shape = [1, 1, geometry.taps * source.channels]
    out = p.result(node, shape, p.types[index], source.storage)
    moves.windows(p, node, index, out, geometry)
    p.finish(node, out)


CPU = {"StreamFlatten": Lowering(lower)}

# SPDX-License-Identifier: Apache-2.0
"""StreamCrop on the CPU: a copy of the middle of a picture."""

from __future__ import annotations

from ...cpu.ops import moves
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.windows import check_picture


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.read(node)
    height, width = size = node.ints("ImgDim", 2)
    check_picture(p, node, index, size)
    top, left, bottom, right = sides = node.ints("Crop", 4)
    source = p.at(index)
    shape = [height - top - bottom, width - left - right, source.channels]
    out = p.result(node, shape, p.types[index], source.storage)
    moves.crop(p, node, index, out, sides)
    p.finish(node, out)


CPU = {"StreamCrop": Lowering(lower)}

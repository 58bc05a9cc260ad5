# SPDX-License-Identifier: Apache-2.0
"""ConvolutionInputGenerator on the CPU that no product takes in: the windows as a tensor."""

from __future__ import annotations

from ...cpu.ops import moves
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.windows import WINDOW, Geometry, check_picture, set_window


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.stored(p.read(node), *moves.WHOLE)
    source = p.at(index)
    size = node.ints("IFMDim", 2)
    check_picture(p, node, index, size)
    geometry = Geometry(*size)
    set_window(node, geometry)
    shape = [geometry.out_height, geometry.out_width, geometry.taps * source.channels]
    out = p.result(node, shape, p.types[index], source.storage)
    moves.windows(p, node, index, out, geometry)
    p.finish(node, out)


CPU = {WINDOW: Lowering(lower)}

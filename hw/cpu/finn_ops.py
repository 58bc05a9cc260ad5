# SPDX-License-Identifier: Apache-2.0
"""FINN's own ops on the CPU: those of a dataflow graph that have no folder in ``kernels``."""

from __future__ import annotations

from .ops import moves
from .packer import Lowering, Node, Packer
from .windows import PADDING, WINDOW, Geometry, bordered, check_picture, set_window


def padding(p: Packer, node: Node) -> None:
    """FMPadding that no product takes in: a copy with a border of code 0."""
    index = p.read(node)
    geometry = bordered(p, node, index)
    source = p.at(index)
    shape = [geometry.out_height, geometry.out_width, source.channels]
    out = p.result(node, shape, p.types[index], source.storage)
    moves.pad(p, node, index, out, geometry)
    p.finish(node, out)


def window(p: Packer, node: Node) -> None:
    """ConvolutionInputGenerator that no product takes in: the windows as a tensor."""
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


CPU = {
    PADDING: Lowering(padding),
    WINDOW: Lowering(window),
}

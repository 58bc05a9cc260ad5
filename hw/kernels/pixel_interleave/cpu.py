# SPDX-License-Identifier: Apache-2.0
"""PixelInterleave on the CPU: a copy, four groups of channels to a square of pixels."""

from __future__ import annotations

from ...cpu.ops import moves
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError
from ...cpu.windows import check_picture


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.read(node)
    height, width = size = node.ints("ImgDim", 2)
    check_picture(p, node, index, size)
    channels = int(node.get("NumChannels"))
    if p.at(index).channels != 4 * channels:
        raise ModelError(
            f"{node.where}: found {p.at(index).channels} channels, expected 4 x {channels}"
        )
    index = p.stored(index, *moves.WHOLE)
    out = p.result(node, [2 * height, 2 * width, channels], p.types[index], p.at(index).storage)
    moves.interleave(p, node, index, out)
    p.finish(node, out)


CPU = {"PixelInterleave": Lowering(lower)}

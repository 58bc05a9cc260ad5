# SPDX-License-Identifier: Apache-2.0
"""StreamUpsample on the CPU: a copy, every pixel or each of its phases to its places."""

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
    rows, columns = scale = node.ints("Scale", 2)
    phases, channels = int(node.get("phases")), int(node.get("NumChannels"))
    groups = rows * columns if phases else 1
    if p.at(index).channels != groups * channels:
        raise ModelError(
            f"{node.where}: found {p.at(index).channels} channels, expected {groups} x {channels}"
        )
    if phases:
        index = p.stored(index, *moves.WHOLE)
    shape = [rows * height, columns * width, channels]
    out = p.result(node, shape, p.types[index], p.at(index).storage)
    moves.upsample(p, node, index, out, scale, phases)
    p.finish(node, out)


CPU = {"StreamUpsample": Lowering(lower)}

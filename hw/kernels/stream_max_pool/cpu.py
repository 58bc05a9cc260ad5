# SPDX-License-Identifier: Apache-2.0
"""StreamMaxPool on the CPU: maxima over windows that are clipped to the picture."""

from __future__ import annotations

from ...cpu.ops import pools
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError
from ...cpu.windows import Geometry, check_picture


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.read(node)
    source = p.at(index)
    size = node.ints("ImgDim", 2)
    check_picture(p, node, index, size)
    kernel = node.ints("KernelDim", 2)
    stride = node.ints("Stride", 2)
    if min(stride) < 1:
        raise ModelError(f"{node.where}: found Stride {stride}, expected 1 or more")
    geometry = Geometry(*size, *kernel, *stride).padded(node.ints("Padding", 4))
    out_size = [geometry.out_height, geometry.out_width]
    if node.ints("OutDim", 2) != out_size:
        raise ModelError(f"{node.where}: found OutDim {node.get('OutDim')}, expected {out_size}")
    out = p.result(node, [*out_size, source.channels], p.types[index], source.storage)
    pools.max_pool(p, node, index, out, geometry)
    p.finish(node, out)


CPU = {"StreamMaxPool": Lowering(lower)}

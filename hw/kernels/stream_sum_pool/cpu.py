# SPDX-License-Identifier: Apache-2.0
"""StreamSumPool on the CPU: sums over windows that are clipped to the picture."""

from __future__ import annotations

from ....quant.grid import sums_type
from ...cpu.ops import moves, pools
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import STORAGE, DataType, ModelError
from ...cpu.windows import Geometry, check_picture


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.stored(p.read(node), *moves.WHOLE)
    source, datatype = p.at(index), p.types[index]
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
    low, high = datatype.low * geometry.taps, datatype.high * geometry.taps
    if low < STORAGE["i32"][0] or high > STORAGE["i32"][1]:
        raise ModelError(f"{node.where}: sums of {geometry.taps} pixels do not fit 32 bits")
    name = sums_type(str(node.get("inputDataType")), geometry.taps)
    out = p.sums(node, [*out_size, source.channels], DataType(name, min(low, 0), max(high, 0)))
    pools.window_sum(p, node, index, out, geometry)


CPU = {"StreamSumPool": Lowering(lower)}

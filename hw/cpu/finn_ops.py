# SPDX-License-Identifier: Apache-2.0
"""FINN's own ops on the CPU: those of a dataflow graph that have no folder in ``kernels``."""

from __future__ import annotations

import numpy as np

from .ops import moves, thresholds
from .packer import Lowering, Node, Packer
from .plan import ModelError
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


def thresholding(p: Packer, node: Node) -> None:
    """Thresholding: signs of bytes as bits, anything else by counting in 32 bits."""
    index = p.read(node)
    source = p.at(index)
    values = p.initializer(node, 1)
    count = int(node.get("numSteps"))
    if values.shape not in ((source.channels, count), (1, count)):
        raise ModelError(
            f"{node.where}: found thresholds {values.shape}, expected ({source.channels}, {count})"
        )
    values = np.broadcast_to(values, (source.channels, count))
    values = thresholds.within_input(p, node, index, values)
    base = int(node.get("ActVal"))
    datatype = node.datatype("outputDataType")
    if not datatype.low <= base <= base + count <= datatype.high:
        raise ModelError(
            f"{node.where}: outputDataType {datatype.name} does not hold {base}..{base + count}"
        )
    if source.storage == "i8" and datatype.name == "BINARY":
        out = p.result(node, source.shape, datatype, "bits")
        thresholds.sign(p, node, index, out, values[:, 0])
        return
    index = p.stored(index, "i32")
    out = p.result(node, source.shape, datatype, "i32")
    thresholds.count_thresholds(p, node, index, out, values, base)
    p.finish(node, out)


CPU = {
    PADDING: Lowering(padding),
    WINDOW: Lowering(window),
    "Thresholding": Lowering(thresholding),
}

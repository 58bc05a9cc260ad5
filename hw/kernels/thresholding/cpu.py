# SPDX-License-Identifier: Apache-2.0
"""Thresholding on the CPU: signs of bytes as bits, anything else by counting in 32 bits."""

from __future__ import annotations

import numpy as np

from ...cpu.ops import thresholds
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
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
    if count >= thresholds.LEAST_OF_LINE and datatype.storage in ("u8", "i8"):
        out = p.result(node, source.shape, datatype, datatype.storage)
        start = np.full(source.channels, base)
        thresholds.step_levels(p, node, index, out, values, np.ones_like(values), start)
        return
    index = p.stored(index, "i32")
    out = p.result(node, source.shape, datatype, "i32")
    thresholds.count_thresholds(p, node, index, out, values, base)
    p.finish(node, out)


CPU = {"Thresholding": Lowering(lower)}

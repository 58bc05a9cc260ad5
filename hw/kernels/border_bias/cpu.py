# SPDX-License-Identifier: Apache-2.0
"""BorderBias on the CPU: one step in 32 bits."""

from __future__ import annotations

from ...cpu.ops import sums
from ...cpu.ops.site import INT32
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError
from ...cpu.windows import check_picture


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    index = p.read(node)
    check_picture(p, node, index, node.ints("ImgDim", 2))
    index = p.stored(index, "i32")
    source, bias = p.at(index), p.initializer(node, 1)
    rows, columns = ([int(n) for n in node.get(name)] for name in ("RowRuns", "ColumnRuns"))
    if bias.shape != (len(rows) * len(columns), source.channels):
        raise ModelError(
            f"{node.where}: found biases {bias.shape} for {len(rows)} runs of rows and "
            f"{len(columns)} of columns, {source.channels} channels"
        )
    datatype = node.datatype("outputDataType")
    out = p.result(node, source.shape, datatype, "i32")
    limits = (datatype.low, datatype.high) if int(node.get("saturates")) else INT32
    sums.border(p, node, index, out, bias, (rows, columns), int(node.get("shift")), limits)
    p.finish(node, out)


CPU = {"BorderBias": Lowering(lower)}

# SPDX-License-Identifier: Apache-2.0
"""LabelSelect on the CPU: the index of the largest value, the lowest of equals."""

from __future__ import annotations

from ....quant.digits import whole
from ...cpu.ops import pools
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import DataType, ModelError


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    if int(node.get("K")) != 1:
        raise ModelError(f"{node.where}: found K {node.get('K')}, expected 1")
    index = p.stored(p.read(node), "i32")
    source = p.at(index)
    datatype = DataType("UINT31", 0, source.channels - 1)
    out = p.sums(node, [*source.shape[:-1], 1], datatype)
    if not node.attributes.get("scoreBits", 0):
        pools.argmax(p, node, index, out)
        return
    parts = [p.initializer(node, position) for position in (1, 2)]
    for values in parts:
        if values.ndim != 2 or len(values) != source.channels:
            raise ModelError(
                f"{node.where}: found factors or offsets {values.shape}, expected digits "
                f"({source.channels}, n)"
            )
    pools.argmax_scores(p, node, index, out, whole(parts[0]), whole(parts[1]))


CPU = {"LabelSelect": Lowering(lower)}

# SPDX-License-Identifier: Apache-2.0
"""StreamingConcat on the CPU: the channels of tensors behind one another."""

from __future__ import annotations

from ...cpu.ops import moves
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    inputs = [p.read(node, i) for i in range(len(node.inputs))]
    channels = [int(c) for c in node.get("ChannelsPerStream")]
    leading = p.at(inputs[0]).shape[:-1]
    datatype = p.types[inputs[0]]
    for index, expected in zip(inputs, channels, strict=False):
        if p.at(index).shape != [*leading, expected] or p.types[index] != datatype:
            raise ModelError(
                f"{node.where}: found {p.types[index].name} {p.at(index).shape}, "
                f"expected {datatype.name} {[*leading, expected]}"
            )
    if len(channels) != len(inputs):
        raise ModelError(
            f"{node.where}: found ChannelsPerStream {channels} for {len(inputs)} inputs"
        )
    storage = moves.shared_storage(p, inputs)
    inputs = [p.stored(i, storage) for i in inputs]
    out = p.result(node, [*leading, sum(channels)], datatype, storage)
    moves.concat(p, node, inputs, out)
    p.finish(node, out)


CPU = {"StreamingConcat": Lowering(lower)}

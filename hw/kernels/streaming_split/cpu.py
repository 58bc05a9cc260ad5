# SPDX-License-Identifier: Apache-2.0
"""StreamingSplit on the CPU: the channels of a pixel shared out to tensors."""

from __future__ import annotations

from ...cpu.ops import moves
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    source = p.read(node)
    datatype = p.types[source]
    channels = [int(c) for c in node.get("ChannelsPerStream")]
    if len(channels) != len(node.outputs) or sum(channels) != p.at(source).channels:
        raise ModelError(
            f"{node.where}: found ChannelsPerStream {channels} for {len(node.outputs)} outputs "
            f"and {p.at(source).channels} channels"
        )
    binary = p.at(source).storage == "bits"
    source = p.stored(source, *moves.WHOLE)
    leading = p.at(source).shape[:-1]
    storage = p.at(source).storage
    outs = [
        p.tensor([] if binary else [name], [*leading, c], datatype, storage)
        for name, c in zip(node.outputs, channels, strict=True)
    ]
    moves.split(p, node, source, outs)
    if binary:
        for name, out in zip(node.outputs, outs, strict=True):
            final = p.tensor([name], p.at(out).shape, datatype)
            p.step("cast", node.name, [out], [final])


CPU = {"StreamingSplit": Lowering(lower)}

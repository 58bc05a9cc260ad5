# SPDX-License-Identifier: Apache-2.0
"""AddStreams on the CPU: one step in 32 bits."""

from __future__ import annotations

from ...cpu.ops import sums
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    inputs = [p.read(node, i) for i in range(len(node.inputs))]
    factors = [int(f) for f in node.ints("factors", len(inputs))]
    shape = p.at(inputs[0]).shape
    for index in inputs[1:]:
        if p.at(index).shape != shape:
            raise ModelError(f"{node.where}: found an input {p.at(index).shape}, expected {shape}")
    inputs = [p.stored(index, "i32") for index in inputs]
    out = p.result(node, shape, node.datatype("outputDataType"), "i32")
    sums.add(p, node, inputs, factors, out)
    p.finish(node, out)


CPU = {"AddStreams": Lowering(lower)}

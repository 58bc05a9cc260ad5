# SPDX-License-Identifier: Apache-2.0
"""XnorMvu on the CPU: a product of bits, with the window and the padding in front of it."""

from __future__ import annotations

from ...cpu.ops import products
from ...cpu.packer import Lowering, Node, Packer, always
from ...cpu.plan import ModelError
from ...cpu.windows import binary_weights, product_source


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    source = product_source(p, node)
    tensor = p.at(source.index)
    if tensor.storage != "bits":
        raise ModelError(f"{node.where}: found {tensor.datatype} input, expected BINARY")
    weights = binary_weights(p, node, source)
    inputs, outputs = weights.shape
    datatype = node.datatype("outputDataType")
    if datatype.low > -inputs or datatype.high < inputs:
        raise ModelError(f"{node.where}: outputDataType {datatype.name} does not hold +-{inputs}")
    out = p.sums(node, [*source.leading, outputs], datatype)
    products.bit_convolution(p, node, source.index, out, source.geometry, weights)


CPU = {"XnorMvu": Lowering(lower, reads_windows=always)}

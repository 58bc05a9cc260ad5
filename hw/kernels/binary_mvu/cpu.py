# SPDX-License-Identifier: Apache-2.0
"""BinaryMvu on the CPU: a product of bytes with weights of -1 and +1."""

from __future__ import annotations

from ....quant import grid
from ...cpu.ops import products
from ...cpu.packer import Lowering, Node, Packer, always
from ...cpu.plan import BYTE_CODES, ModelError
from ...cpu.windows import binary_weights, product_source


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    source = product_source(p, node)
    codes = p.types[source.index]
    if codes.name == "BINARY" or codes.low < 0 or codes.high >= BYTE_CODES:
        raise ModelError(f"{node.where}: found {codes.name} input, expected codes of UINT1..UINT8")
    weights = 2 * binary_weights(p, node, source) - 1
    low, high = grid.accumulator_bounds(weights, 0, codes.high)
    datatype = node.datatype("outputDataType")
    if low.min() < datatype.low or high.max() > datatype.high:
        raise ModelError(
            f"{node.where}: outputDataType {datatype.name} does not hold {low.min()}..{high.max()}"
        )
    out = p.sums(node, [*source.leading, weights.shape[1]], datatype, (low, high))
    products.int_convolution(p, node, source.index, out, source.geometry, weights)


CPU = {"BinaryMvu": Lowering(lower, reads_windows=always)}

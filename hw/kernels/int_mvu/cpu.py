# SPDX-License-Identifier: Apache-2.0
"""IntMvu on the CPU: a product of bytes where 8 bits do, else one of 32-bit integers."""

from __future__ import annotations

import numpy as np

from ....quant import grid
from ...cpu.ops import products
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import STORAGE, ModelError
from ...cpu.windows import product_source, product_weights

LOWEST, HIGHEST = STORAGE["i32"]


def fits_bytes(p: Packer, node: Node) -> bool:
    """Whether inputs and weights are of 8 bits: such a product reads pictures through windows."""
    weights = p.initializer(node, 1)
    return (
        node.datatype("inputDataType").storage in ("u8", "i8")
        and weights.size > 0
        and int(weights.min()) >= -128
        and int(weights.max()) <= 127
    )


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    fast = fits_bytes(p, node)
    source = product_source(p, node, fast)
    weights = product_weights(p, node, source)
    outputs = weights.shape[1]
    bias = np.zeros(outputs, dtype=np.int64)
    if len(node.inputs) > 2:
        bias = p.initializer(node, 2).reshape(-1)
        if bias.shape != (outputs,):
            raise ModelError(f"{node.where}: found {bias.size} biases, expected {outputs}")
    datatype = node.datatype("outputDataType")
    inputs = p.types[source.index]
    low, high = grid.accumulator_bounds(weights, inputs.low, inputs.high, bias)
    if low.min() < LOWEST or high.max() > HIGHEST:
        raise ModelError(f"{node.where}: its worst-case sums do not fit 32 bits")
    out = p.sums(node, [*source.leading, outputs], datatype, (low, high))
    if not fast:
        index = p.stored(source.index, "i32")
        products.wide_product(p, node, index, out, weights, bias)
        return
    if inputs.storage == "i32":
        raise ModelError(
            f"{node.where}: found {inputs.name} input, "
            f"expected inputDataType {node.get('inputDataType')}"
        )
    index = p.stored(source.index, "u8" if inputs.storage == "bits" else inputs.storage)
    storage = p.at(index).storage
    least, most = products.kernel_sums(storage, *products.sums_of(weights.T), bias)
    if least.min() < LOWEST or most.max() > HIGHEST:
        raise ModelError(f"{node.where}: its partial sums do not fit 32 bits")
    products.int_convolution(p, node, index, out, source.geometry, weights, bias)


CPU = {"IntMvu": Lowering(lower, reads_windows=fits_bytes)}

# SPDX-License-Identifier: Apache-2.0
"""GroupedMvu on the CPU."""

from __future__ import annotations

import numpy as np

from ...cpu.ops import products
from ...cpu.packer import Lowering, Node, Packer, always
from ...cpu.windows import product_source


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    source = product_source(p, node)
    w = p.initializer(node, 1)
    groups, taps = int(node.get("Groups")), int(node.get("Taps"))
    inputs, outputs = w.shape[0] // taps, w.shape[1] // groups
    full = np.zeros((taps, groups, inputs, groups, outputs), dtype=np.int64)
    w = 2 * w - 1 if node.get("weightDataType") == "BINARY" else w
    for g in range(groups):
        full[:, g, :, g] = w[:, g * outputs : (g + 1) * outputs].reshape(taps, inputs, outputs)
    weights = full.reshape(-1, groups * outputs)
    bias = np.zeros(groups * outputs, dtype=np.int64)
    if len(node.inputs) > 2:
        bias = p.initializer(node, 2).reshape(-1)
    out = p.sums(node, [*source.leading, groups * outputs], node.datatype("outputDataType"))
    index = p.stored(source.index, "u8" if p.types[source.index].low >= 0 else "i8")
    products.int_convolution(p, node, index, out, source.geometry, weights, bias)


CPU = {"GroupedMvu": Lowering(lower, reads_windows=always)}

# SPDX-License-Identifier: Apache-2.0
"""PaMvu on the CPU: one product of bytes.

The sum over bases is one product of values: every input code stands for one beta, every weight
code for one alpha, and their bases are disjoint.
"""

from __future__ import annotations

from ....quant import grid
from ...cpu.ops import products, thresholds
from ...cpu.packer import IntArray, Lowering, Node, Packer, always
from ...cpu.plan import BYTE_CODES, STORAGE, ModelError
from ...cpu.windows import product_source, product_weights
from .. import ACCUMULATOR_BITS


def _codebook(p: Packer, node: Node, position: int, name: str, storage: str) -> IntArray:
    """Return the values that codes stand for, a vector within 8 bits."""
    values = p.initializer(node, position)
    low, high = STORAGE[storage]
    if values.ndim != 1 or not 1 <= values.size <= BYTE_CODES:
        raise ModelError(
            f"{node.where}: found {name} of shape {values.shape}, "
            f"expected a vector of 1..{BYTE_CODES} values"
        )
    if values.min() < low or values.max() > high:
        raise ModelError(
            f"{node.where}: found {name} {values.min()}..{values.max()}, expected {low}..{high}; "
            "snap the levels to 8 bits"
        )
    return values


def lower(p: Packer, node: Node) -> None:
    """Add the steps of a node."""
    source = product_source(p, node)
    inputs = p.types[source.index]
    if inputs.low < 0 or inputs.high >= BYTE_CODES:
        raise ModelError(f"{node.where}: found {inputs.name} input, expected codes of UINT1..UINT8")
    codes = product_weights(p, node, source)
    alpha = _codebook(p, node, 2, "alpha", "i8")
    beta = _codebook(p, node, 3, "beta", "u8")
    zero = int(node.get("zero"))
    if not 0 <= zero < len(alpha) or alpha[zero] != 0 or beta[0] != 0:
        raise ModelError(
            f"{node.where}: alpha[{zero}] and beta[0] must be there and be 0, "
            "for the zero piece and the border"
        )
    if codes.min() < -zero or codes.max() >= len(alpha) - zero:
        raise ModelError(
            f"{node.where}: found weight codes {codes.min()}..{codes.max()}, "
            f"expected {-zero}..{len(alpha) - zero - 1}"
        )
    weights = alpha[codes + zero]
    low, high = grid.accumulator_bounds(weights, 0, int(beta.max()))
    bits = grid.signed_bits(int(max(-low.min(), high.max())))
    if bits > ACCUMULATOR_BITS:
        raise ModelError(
            f"{node.where}: its accumulator needs {bits} bits, "
            f"expected at most {ACCUMULATOR_BITS}; use fewer coefficient bits"
        )
    out = p.sums(node, [*source.leading, weights.shape[1]], node.datatype("outputDataType"))
    values = thresholds.values_of(p, node, p.stored(source.index, "u8"), beta)
    products.int_convolution(p, node, values, out, source.geometry, weights)


CPU = {"PaMvu": Lowering(lower, reads_windows=always)}

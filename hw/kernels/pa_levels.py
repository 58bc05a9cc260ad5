# SPDX-License-Identifier: Apache-2.0
"""Dot products of piecewise levels: the ways to compute them and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...quant.grid import IntArray, signed_width
from .bit_heap import AND, Cells, gate_outputs, gates, heap, popcount, tree_registers

IMPLEMENTATIONS: tuple[str, ...] = ("literal", "coded", "planes")
"""The ways to compute a dot product of codes, numbered as the RTL numbers them."""
LEVEL_BITS = 16
"""Bits of a level in the RTL's codebooks."""
RTL_PARTS: tuple[str, ...] = (
    "rtl/pa_dot_literal.sv",
    "rtl/pa_dot_coded.sv",
    "rtl/pa_dot_planes.sv",
    "rtl/pa_dot.sv",
)
"""SystemVerilog of the three, beside `mvu.POPCOUNT_PARTS`."""


def signed_digits(value: int) -> int:
    """Return how many digits -1 and +1 the non-adjacent form of ``value`` has: the terms that a
    multiplication by it adds."""
    return (value ^ 3 * value).bit_count()


@dataclass(frozen=True)
class Levels:
    """The codebooks of a layer.

    Attributes:
        alpha: (M+1,) integer levels of the weights.
        beta: (N+1,) integer levels of the inputs.
        zero: index of the weight level 0.
        code_bits: bits of an input code.
        weight_bits: bits of a weight code.
    """

    alpha: IntArray
    beta: IntArray
    zero: int
    code_bits: int
    weight_bits: int

    def product_bits(self) -> int:
        """Bits of a product of two levels, two's complement."""
        products = np.outer(self.alpha, self.beta)
        return signed_width(int(products.min()), int(products.max()))

    def is_linear(self) -> bool:
        """Whether every code is its own level."""
        codes = np.arange(self.alpha.size) - self.zero
        return np.array_equal(self.alpha, codes) and np.array_equal(
            self.beta, np.arange(self.beta.size)
        )

    def literal(self, simd: int, width: int) -> tuple[Cells, dict[str, float]]:
        """A lane that counts pairs of levels and multiplies the counts: what is known, without the
        marks, and what the rest is proportional to.

        Args:
            simd: pairs of codes.
            width: bits of a sum.
        """
        m, n = self.alpha.size - 1, self.beta.size - 1
        product, count = self.product_bits(), simd.bit_length()
        digits = sum(signed_digits(int(v)) for v in np.outer(self.alpha, self.beta).flat if v)
        term = min(count + product, width)
        registers = m * n * term + tree_registers(m * n, term, width)
        counts = {
            "weight levels": simd * m,
            "scaled": (digits - 1) * (count + product / 2),
            "terms": m * n * term,
        }
        return popcount(simd, AND).times(m * n).also(Cells(0, registers)), counts

    def coded(self, simd: int, width: int) -> tuple[Cells, dict[str, float]]:
        """A lane with a table per pair of codes; see `literal` and pa_dot_coded.sv."""
        products = np.outer(self.alpha, self.beta)
        low, high = min(0, int(products.min())), max(0, int(products.max()))
        term = min((high - low).bit_length() or 1, width)
        total = min(self.product_bits() + (simd - 1).bit_length(), width)
        cells = heap([simd] * term, total, dot_cycles(simd) - 1, low * simd)
        cells = cells.also(Cells(0, simd * term))
        address = self.code_bits + self.weight_bits
        if address > 6:  # a LUT of six address bits each, and what selects among them
            return cells, {"tables": simd * term * 2.0 ** (address - 6)}
        # A LUT holds two tables of five address bits or one of six.
        return cells.also(Cells(simd * (term if address == 6 else -(-term // 2)))), {}

    def planes(self, simd: int, width: int) -> Cells:
        """A lane of the products of bit planes; see pa_dot_planes.sv."""
        total = min(simd.bit_length() + self.code_bits + self.weight_bits, width)
        shifts = [b + c for b in range(self.weight_bits) for c in range(self.code_bits)]
        sums, carries = gate_outputs(simd)
        heights = [shifts.count(c) * sums + shifts.count(c - 1) * carries for c in range(total)]
        constant = -(simd << (self.weight_bits - 1)) * ((1 << self.code_bits) - 1)
        used = sum(shift < total for shift in shifts)
        return gates(simd).times(used).also(heap(heights, total, dot_cycles(simd) - 1, constant))


def dot_cycles(simd: int) -> int:
    """Cycles of a dot product with a bit heap."""
    return max((simd - 1).bit_length(), 2) + 3

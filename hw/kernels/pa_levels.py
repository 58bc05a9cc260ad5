# SPDX-License-Identifier: Apache-2.0
"""Dot products of piecewise levels: the ways to compute them and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...quant.grid import IntArray, signed_width

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

    def counts(self, simd: int, pe: int) -> dict[str, dict[str, float]]:
        """What the logic of a dot product is proportional to, by each way that can compute it."""
        product, count = self.product_bits(), int(simd).bit_length()
        m, n = self.alpha.size - 1, self.beta.size - 1
        address = self.code_bits + self.weight_bits
        # A LUT holds two tables of five address bits or one of six; larger ones are several and
        # their selection.
        table = 0.5 if address < 6 else 1.0 if address == 6 else 1.25 * 2.0 ** (address - 6)
        digits = sum(signed_digits(int(v)) for v in np.outer(self.alpha, self.beta).flat if v)
        pairs = int(np.count_nonzero(self.alpha) * np.count_nonzero(self.beta))
        found: dict[str, dict[str, float]] = {
            "literal": {
                "lanes": pe,
                "weight levels": pe * simd * m,
                "input levels": simd * n,
                "products": pe * simd * pairs,
                "counts": pe * pairs * count,
                "scaled": pe * (digits - 1) * (count + product / 2),
            },
            "coded": {
                "lanes": pe,
                "tables": pe * simd * product * table,
                "added": pe * simd * product,
                "sums": pe * (product + count),
            },
        }
        if self.is_linear():
            found["planes"] = {
                "lanes": pe,
                "products": pe * simd * self.code_bits * self.weight_bits,
                "sums": pe * (count + self.code_bits + self.weight_bits),
            }
        return found

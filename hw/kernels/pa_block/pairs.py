# SPDX-License-Identifier: Apache-2.0
"""Two outputs in one DSP block: what fits, cycles, cost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ....quant.grid import signed_width
from ..bit_heap import TAG_BITS, Cells, tree_levels, tree_registers
from ..pa_levels import Levels

FACTOR_BITS = 25
"""Bits of the factor that holds two weight levels."""
LEVEL_BITS = 8
"""Bits of the other one, an input level, unsigned."""


class Pairs(NamedTuple):
    """A factor holds the levels of two outputs, the upper one ``field`` bits higher; ``chain``
    products are added in a cascade before the two sums are taken apart."""

    simd: int
    field: int
    chain: int
    alpha_bits: int
    weight_bits: int
    code_bits: int

    @classmethod
    def of(cls, levels: Levels, simd: int) -> Pairs | None:
        """Return how ``simd`` products per output are added, None where two do not fit."""
        # The upper level may be one less, if the lower is negative.
        alpha_bits = signed_width(int(levels.alpha.min()) - 1, int(levels.alpha.max()))
        field = FACTOR_BITS - alpha_bits
        products = np.outer(levels.alpha, levels.beta)
        largest = max(1, int(-products.min()), int(products.max()))
        most = min(simd, ((1 << (field - 1)) - 1) // largest)
        negative = levels.alpha < 0
        in_order = negative[: levels.zero].all() and not negative[levels.zero :].any()
        if (
            most < 1
            or levels.beta.min() < 0
            or int(levels.beta.max()) >> LEVEL_BITS
            or not in_order
        ):
            return None
        chain = max(d for d in range(1, most + 1) if simd % d == 0)
        return cls(simd, field, chain, alpha_bits, levels.weight_bits, levels.code_bits)

    @property
    def cascades(self) -> int:
        """Sums per output that are added in LUTs."""
        return self.simd // self.chain

    @property
    def cycles(self) -> int:
        """Cycles of the dot product."""
        return self.chain + 3 + ((self.cascades - 1).bit_length() + 1) // 2

    def cells(self, pe: int, width: int) -> tuple[Cells, int]:
        """What is known of ``pe`` dot products: cells, and LUTs as shift registers for codes and
        weights of what is fourth or later in a cascade.

        Args:
            pe: outputs.
            width: bits of a sum.
        """
        pairs, moved = -(-pe // 2), self.code_bits + pe * self.weight_bits
        tables = 4 + pairs * 2 * -(-self.alpha_bits // 2)
        early = sum(c for c in range(1, min(self.chain, 3)))
        marks = (self.chain + 3 + tree_levels(self.cascades)) * (1 + TAG_BITS)
        term = min(self.field, width)
        ffs = self.cascades * early * moved + marks
        ffs += pe * tree_registers(self.cascades, term, width)
        late = self.cascades * max(0, self.chain - 3)
        return Cells(self.simd * tables, ffs), late * moved

# SPDX-License-Identifier: Apache-2.0
"""The epilogue on one DSP block: what fits it, its cycles, its parameter words.

Mirrors ``epilogue/epilogue_serial.sv``, which fused kernels instantiate too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...quant.grid import EpilogueFormat, IntArray, limits, signed_bits

WORD_BITS = 18
"""Bits of a parameter word, a port of a block RAM wide."""
WORDS = 5
"""Parameter words of a channel."""
FACTOR_BITS = 18
"""Bits of the DSP's narrow factor; its wide one and what is subtracted from it have `DATA_BITS`."""
DATA_BITS = 25


@dataclass(frozen=True)
class SerialEpilogue:
    """The parameters of an ``epilogue_serial``.

    Args:
        fmt: the rule's shifts and widths.
        acc_bits: bits of the signed accumulator.
        has_shortcut: whether a shortcut of the output's width is added.
        bias_bits: bits of b', which is b, a half of ``pre_shift`` and what the caller adds.
        mul_bits: bits of m in its word; of the slope, too.
        slope_bits: bits of the slope.
    """

    fmt: EpilogueFormat
    acc_bits: int
    has_shortcut: bool
    bias_bits: int
    mul_bits: int = 10
    slope_bits: int = 8

    @property
    def cycles(self) -> int:
        """Cycles from one accumulator to the next."""
        return 8 + int(self.has_shortcut)

    def counts(self, lanes: int = 1) -> dict[str, float]:
        """What the logic of so many cores that run in step is proportional to."""
        factor = self.fmt.acc_bits if self.fmt.acc_shift else self.acc_bits
        return {
            "one": 1,
            "lanes": lanes,
            "accumulated": lanes * self.acc_bits,
            "rounded": lanes * self.acc_bits if self.fmt.acc_shift else 0,
            "factor": lanes * max(factor, self.fmt.pre_bits),
            "pre": lanes * self.fmt.pre_bits,
            "out": lanes * self.fmt.out_bits,
            "shortcuts": lanes * int(self.has_shortcut),
            "shortcut": lanes * int(self.has_shortcut) * self.fmt.out_bits,
            "step": int(self.has_shortcut),
        }

    @property
    def pair_bits(self) -> int:
        """Bits of b' or e in their two words."""
        return 2 * WORD_BITS - self.mul_bits

    def refusals(self) -> list[str]:
        """Say what does not fit one DSP block; empty if all does."""
        fmt, shortcut = self.fmt, self.has_shortcut
        factor = fmt.acc_bits if fmt.acc_shift else self.acc_bits
        added = (1 << (fmt.pre_bits - 1)) + (1 << fmt.out_shift >> 1)
        added_bits = (added << fmt.slope_shift).bit_length() + 1
        rules = (
            ("accumulators", factor, DATA_BITS),
            ("shortcuts", fmt.out_bits if shortcut else 0, DATA_BITS),
            ("pre-activations", fmt.pre_bits, WORD_BITS),
            ("a shortcut's factor", fmt.shortcut_shift + 2 if shortcut else 0, FACTOR_BITS),
            ("a positive slope", fmt.slope_shift + 2, FACTOR_BITS),
            ("b", self.bias_bits, self.pair_bits),
            ("eta", added_bits, self.pair_bits),
        )
        return [
            f"{what} of {bits} bits (at most {most})" for what, bits, most in rules if bits > most
        ]

    def words(self, params: IntArray, offset: IntArray | int = 0) -> list[int]:
        """Return the memory's words, five per channel.

        Args:
            params: (5, C) rows m, b, zeta, slope, eta.
            offset: (C,) added to b, such as what a popcount lacks of a dot product.

        Raises:
            ValueError: a parameter is wider than its word; names parameter and channel.
        """
        fmt = self.fmt
        m, b, zeta, slope, eta = params.astype(np.int64)
        bias = b + offset + ((1 << fmt.pre_shift) >> 1)
        widths = (self.mul_bits, self.bias_bits, fmt.pre_bits, self.slope_bits, fmt.pre_bits)
        require_fit(np.stack([m, bias, zeta, slope, eta]), widths)
        added = (eta + ((1 << fmt.out_shift) >> 1)) << fmt.slope_shift
        mask = (1 << WORD_BITS) - 1
        high_bits = WORD_BITS - self.mul_bits

        def pair(head: int, value: int) -> tuple[int, int]:
            top = value >> WORD_BITS & ((1 << high_bits) - 1)
            return value & mask, (head << high_bits | top) & mask

        rows = zip(*(row.tolist() for row in (m, bias, zeta, slope, added)), strict=True)
        return [
            word
            for mul, base, point, bend, last in rows
            for word in (*pair(mul, base), point & mask, *pair(bend, last))
        ]

    def rtl_parameters(self) -> Mapping[str, int]:
        """Parameters of the core, but for those of its surroundings."""
        fmt = self.fmt
        return {
            "AccWidth": self.acc_bits,
            "AccShift": fmt.acc_shift,
            "AccBits": fmt.acc_bits,
            "HasShortcut": int(self.has_shortcut),
            "ShortcutWidth": fmt.out_bits,
            "ShortcutShift": fmt.shortcut_shift,
            "PreShift": fmt.pre_shift,
            "PreBits": fmt.pre_bits,
            "SlopeShift": fmt.slope_shift,
            "OutShift": fmt.out_shift,
            "OutWidth": fmt.out_bits,
            "MulWidth": self.mul_bits,
            "BiasWidth": self.bias_bits,
            "SlopeWidth": self.slope_bits,
        }


def require_fit(rows: IntArray, widths: Sequence[int]) -> None:
    """Refuse parameters that are wider than their fields.

    Args:
        rows: (5, C) rows m, b, zeta, slope, eta.
        widths: bits of each.

    Raises:
        ValueError: names parameter and channel.
    """
    for label, row, bits in zip(("m", "b", "zeta", "slope", "eta"), rows, widths, strict=True):
        low, high = limits(bits)
        wrong = np.flatnonzero((row < low) | (row > high))
        if wrong.size:
            raise ValueError(
                f"{label} of channel {wrong[0]} is {row[wrong[0]]}, expected {low}..{high}; "
                "snap it to that range before lowering"
            )


def bias_bits(limit: int, pre_shift: int) -> int:
    """Return the bits of b' for |b| up to ``limit``."""
    return signed_bits(limit + ((1 << pre_shift) >> 1))

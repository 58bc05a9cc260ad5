# SPDX-License-Identifier: Apache-2.0
"""Constants in block RAM whose words lie in banks: ``banked_stream.sv``."""

from __future__ import annotations

from collections.abc import Sequence

from .base import hex_memory
from .memory import BRAM18_SHAPES, ReadOnlyMemory, bram18_blocks, selection

MOST_WORDS = 16
"""Words of a line, one of each bank, among which one is selected."""


class BankedRom(ReadOnlyMemory):
    """A memory of constants that is read in order. Where one block RAM is not as deep, a tool would
    select among several in front of the register behind them; banks are selected behind it."""

    __slots__ = ()

    @property
    def bank(self) -> int:
        """Words of a bank, 0 where there is one memory: as deep as a block RAM, and no block more
        than a tool would take."""
        if not self.block:
            return 0
        most = bram18_blocks(self.depth, self.width, read_only=True)
        found = []
        for bits, words in BRAM18_SHAPES:
            banks = -(-self.depth // words)
            blocks = -(-banks * self.width // bits)
            if blocks <= most and banks <= MOST_WORDS:
                found.append((selection(banks), blocks, banks, words))
        _, _, banks, words = min(found, default=(0, 0, 1, 0))
        return words if banks > 1 else 0

    @property
    def banks(self) -> int:
        """Banks, 1 where there is one memory."""
        return -(-self.depth // self.bank) if self.bank else 1

    @property
    def luts(self) -> int:
        return self.width * selection(self.banks) if self.bank else super().luts

    @property
    def word_registers(self) -> int:
        """Flip-flops of a word, behind block RAM as well."""
        return super().registers

    @property
    def registers(self) -> int:
        """Flip-flops of the line that is read, and of the word that is selected in it."""
        return self.banks * self.word_registers + (self.width if self.bank else 0)

    @property
    def brams(self) -> int:
        if not self.bank:
            return super().brams
        return bram18_blocks(self.bank, self.banks * self.width, read_only=True)

    def image(self, words: Sequence[int]) -> str:
        """The $readmemh text of the words: a line for each, or for one of every bank."""
        if not self.bank:
            return hex_memory(words, self.width)
        # Bits of equal place of all banks lie side by side, the first bank's lowest.
        texts = [f"{word:0{self.width}b}" for word in words]
        nothing = "0" * self.width
        lines = []
        for line in range(self.bank):
            found = texts[line :: self.bank]
            found += [nothing] * (self.banks - len(found))
            lines.append(int("".join(map("".join, zip(*reversed(found), strict=True))), 2))
        return hex_memory(lines, self.banks * self.width)

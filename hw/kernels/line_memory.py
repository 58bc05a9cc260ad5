# SPDX-License-Identifier: Apache-2.0
"""What a ``line_memory.sv`` is made of and costs."""

from __future__ import annotations

from typing import NamedTuple

from .base import bram18_blocks, lutram_luts


class LineMemory(NamedTuple):
    """Simple dual-port memory of ``depth`` words of ``width`` bits, read through a register."""

    depth: int
    width: int

    @property
    def bits(self) -> int:
        """Bits stored."""
        return self.depth * self.width

    @property
    def block(self) -> bool:
        """Whether it lies in block RAM: above 64 words and 8192 bits, as streaming_fifo's do."""
        return self.depth > 64 and self.bits > 8192

    @property
    def luts(self) -> int:
        """LUTs of the memory."""
        return 0 if self.block else lutram_luts(self.depth, self.width)

    @property
    def brams(self) -> int:
        """18 Kbit block RAMs of the memory."""
        return bram18_blocks(self.depth, self.width) if self.block else 0

# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_max_pool: max pooling with borders of the datatype's minimum."""

from __future__ import annotations

from ..costs import Structure
from ..memory import selection
from ..window_pools import WindowPool, WindowPoolRtl
from .golden import run


class StreamMaxPool(WindowPool):
    """Max pooling (1, H, W, C) -> (1, Ho, Wo, C)."""

    outputs_are = "max pools"
    golden = staticmethod(run)


class StreamMaxPool_rtl(WindowPoolRtl, StreamMaxPool):
    """RTL backend of StreamMaxPool."""

    sums = False

    def widths(self) -> tuple[int, int]:
        """Maxima have the bits of their elements."""
        width = self.input_streams()[0].width
        return width, width

    def structures(self) -> dict[str, Structure]:
        """Per axis comparisons and choices of the open windows, the running maxima, the counters;
        see window_pool.sv."""
        width, lanes = self.input_streams()[0].width, self.input_streams()[0].lanes
        counts = dict.fromkeys(
            ("inner", "loops", "steps", "slots", "windows", "taken", "chosen", "stored"), 0
        )
        select = lutram = brams = 0
        ffs = width + 1  # the second register behind the rows
        for axis, memory, _ in self.passes():
            ffs += 2 * width + 2  # the word, and what leaves
            if axis.length == 1 and axis.kernel == 1:
                continue
            inner = (memory.depth - 1).bit_length()
            counts["inner"] += inner
            counts["loops"] += 1
            counts["steps"] += (axis.length - 1).bit_length()
            if axis.kernel == 1:  # a step alone: nothing is kept
                continue
            stored, compared = axis.slots * width, axis.slots * lanes
            counts["windows"] += stored
            counts["slots"] += axis.slots - 1
            counts["taken"] += compared
            counts["chosen"] += width * (1 + selection(axis.slots))
            # What is stored, what of it leaves, what chooses.
            ffs += 2 * stored + compared + 2
            if memory.depth == 1:
                continue
            ffs += (1 + memory.block) * (inner + 1)  # read ahead
            select += memory.select
            lutram += memory.lutram
            brams += memory.brams
            if memory.depth >= 4:  # written a cycle later
                counts["stored"] += stored
                ffs += width + stored + compared + axis.slots + inner + 1
        counts |= {"one": 1, "bits": width if counts["windows"] else 0}
        return {"": Structure(counts, luts=select, ffs=ffs, lutram=lutram, bram18=brams)}


OPS = (StreamMaxPool, StreamMaxPool_rtl)

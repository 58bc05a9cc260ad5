# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_sum_pool: sums over windows, whose borders count 0."""

from __future__ import annotations

from qonnx.core.datatype import DataType

from ....quant.grid import sums_type
from ..costs import Structure
from ..memory import selection
from ..window_pools import WindowPool, WindowPoolRtl
from .golden import run


class StreamSumPool(WindowPool):
    """Sums over windows (1, H, W, C) -> (1, Ho, Wo, C)."""

    outputs_are = "sums of windows"
    golden = staticmethod(run)

    def row_type(self) -> str:
        """Datatype of a sum along one row of a window."""
        return sums_type(self.get_nodeattr("inputDataType"), int(self.axes()[1].kernel))

    def pooled_type(self) -> str:
        rows, columns = self.axes()
        return sums_type(self.get_nodeattr("inputDataType"), rows.kernel * columns.kernel)


class StreamSumPool_rtl(WindowPoolRtl, StreamSumPool):
    """RTL backend of StreamSumPool."""

    sums = True

    def widths(self) -> tuple[int, int]:
        """Sums of a row, and of the whole window."""
        lanes = self.input_streams()[0].lanes
        return lanes * DataType[self.row_type()].bitwidth(), self.output_streams()[0].width

    def structures(self) -> dict[str, Structure]:
        """Per axis adders and choices of the open windows, the running sums, the counters; see
        window_pool.sv."""
        of_row, of_column = self.widths()
        counts = dict.fromkeys(
            ("inner", "loops", "steps", "slots", "keeps", "sums", "chosen", "stored", "bits"), 0
        )
        select = lutram = brams = 0
        ffs = of_row + 1  # the second register behind the rows
        words = (self.input_streams()[0].width, of_row)
        for (axis, memory, width), word in zip(self.passes(), words, strict=True):
            ffs += word + width + 2  # the word, and what leaves
            counts["bits"] += width
            if axis.length == 1 and axis.kernel == 1:
                continue
            inner = (memory.depth - 1).bit_length()
            counts["inner"] += inner
            counts["loops"] += 1
            counts["steps"] += (axis.length - 1).bit_length()
            if axis.kernel == 1:  # a step alone: nothing is kept
                continue
            kept = axis.slots * width
            counts["keeps"] += 1
            counts["sums"] += kept
            counts["slots"] += axis.slots - 1
            counts["chosen"] += width * (1 + selection(axis.slots))
            ffs += 2 * kept + 2  # what is kept, what of it leaves, what chooses
            if memory.depth == 1:
                continue
            ffs += (1 + memory.block) * (inner + 1)  # read ahead
            select += memory.select
            lutram += memory.lutram
            brams += memory.brams
            if memory.depth >= 4:  # written a cycle later
                counts["stored"] += kept
                ffs += word + kept + axis.slots + inner + 1
        counts["one"] = 1
        return {"": Structure(counts, luts=select, ffs=ffs, lutram=lutram, bram18=brams)}


OPS = (StreamSumPool, StreamSumPool_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_max_pool: max pooling with borders of the datatype's minimum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ....quant.grid import IntArray
from ..base import Kernel, RtlKernel, Stream
from ..costs import Structure
from ..facts import Geometry
from ..memory import LineMemory, selection
from .golden import run

BLOCK_DEPTH = 256
"""Words from which running maxima lie in block RAM, however few bits they have."""


class Axis(NamedTuple):
    """Pooling along one axis of the picture."""

    length: int
    kernel: int
    stride: int
    low: int
    high: int
    out: int

    @property
    def ends(self) -> IntArray:
        """The last step that each window needs."""
        ends = np.arange(self.out) * self.stride + self.kernel - 1 - self.low
        return np.minimum(ends, self.length - 1)

    @property
    def early(self) -> int:
        """Windows that end before the last step of a line."""
        return max(0, -(-(self.length + self.low - self.kernel) // self.stride))

    @property
    def drains(self) -> int:
        """Output steps that need no input: windows beyond the first that end in the border."""
        return max(0, self.out - self.early - 1)

    @property
    def sends(self) -> list[bool]:
        """Whether a window leaves, for every input step of a line and every drained one."""
        first = self.kernel - 1 - self.low
        ends = [i >= first and (i - first) % self.stride == 0 for i in range(self.length - 1)]
        return [*ends, self.out > self.early, *[True] * self.drains]

    @property
    def slots(self) -> int:
        """Windows that stay open from one step to the next, at most."""
        return max(1, -(-(self.kernel - 1) // self.stride))


class StreamMaxPool(Kernel):
    """Max pooling (1, H, W, C) -> (1, Ho, Wo, C)."""

    lanes = {"PE": "NumChannels"}
    outputs_are = "max pools"
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "ImgDim": ("ints", True, []),
        "KernelDim": ("ints", True, []),
        "Stride": ("ints", True, []),
        "Padding": ("ints", True, []),
        "OutDim": ("ints", True, []),
        "inputDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def axes(self) -> tuple[Axis, Axis]:
        """The pooling along the columns and along the rows.

        Raises:
            ValueError: a border as wide as the kernel, or an ``OutDim`` that does not follow.
        """
        height, width, kernel_y, kernel_x, stride_y, stride_x, *padding, out_y, out_x = (
            int(v)
            for name in ("ImgDim", "KernelDim", "Stride", "Padding", "OutDim")
            for v in self.get_nodeattr(name)
        )
        top, left, bottom, right = padding
        axes = (
            Axis(height, kernel_y, stride_y, top, bottom, out_y),
            Axis(width, kernel_x, stride_x, left, right, out_x),
        )
        for axis in axes:
            expected = (axis.length + axis.low + axis.high - axis.kernel) // axis.stride + 1
            if axis.out != expected or expected < 1 or max(axis.low, axis.high) >= axis.kernel:
                raise ValueError(
                    f"{self.onnx_node.name}: found {axis}, expected out={expected} of at least 1 "
                    "and borders narrower than the kernel"
                )
        return axes

    def verify_node(self) -> None:
        """Raise ValueError for a geometry the op does not have (see ``axes``)."""
        self.axes()

    def input_streams(self) -> list[Stream]:
        return [self._stream("ImgDim")]

    def output_streams(self) -> list[Stream]:
        return [self._stream("OutDim")]

    def _stream(self, dim: str) -> Stream:
        shape = (1, *(int(n) for n in self.get_nodeattr(dim)), self.get_nodeattr("NumChannels"))
        return Stream(self.get_nodeattr("inputDataType"), shape, self.get_nodeattr("PE"))

    def geometry(self) -> Geometry:
        """A window needs its last pixel, or that of the picture where it ends in the border."""
        rows, columns = self.axes()
        return Geometry(rows.ends, columns.ends, columns.length)

    def folds(self) -> int:
        """Words of a pixel."""
        return int(self.get_nodeattr("NumChannels")) // int(self.get_nodeattr("PE"))

    def cycles(self) -> int:
        """One input word per cycle, and the drained windows of every row and of the picture.

        While the last rows drain, the frame's last words and the next frame's first ones enter,
        until a fourth window along the rows would have to wait: three registers hold one each.
        """
        rows, columns = self.axes()
        line = [sends for sends in columns.sends for _ in range(self.folds())]
        last = len(line) - 1 - line[::-1].index(True)
        behind = line[last + 1 :] + 4 * line
        fourth = int(np.flatnonzero(behind)[3])
        out = columns.out * self.folds()
        waits = max(0, rows.drains * out - (fourth - 3))
        return max(rows.length * len(line) + waits, len(rows.sends) * out)


class StreamMaxPool_rtl(RtlKernel, StreamMaxPool):
    """RTL backend of StreamMaxPool."""

    registers_output = True
    registers_ready = True
    module = "stream_max_pool"
    sources = (
        "rtl/line_memory.sv",
        "rtl/output_register.sv",
        "rtl/stream_register.sv",
        "kernels/stream_max_pool/window_max.sv",
        "kernels/stream_max_pool/stream_max_pool.sv",
    )

    def line_memories(self) -> tuple[LineMemory, LineMemory]:
        """The running maxima of the open windows along the rows and along the columns."""
        rows, columns = self.axes()
        width = self.input_streams()[0].width
        return (
            self._maxima(self.folds(), columns.slots * width),
            self._maxima(self.folds() * columns.out, rows.slots * width),
        )

    @staticmethod
    def _maxima(depth: int, width: int) -> LineMemory:
        # What selects among many small memories of LUTs is too slow.
        return LineMemory(depth, width, "block" if depth >= BLOCK_DEPTH else "auto")

    def rtl_parameters(self) -> dict[str, int | str]:
        rows, columns = self.axes()
        stream = self.input_streams()[0]
        of_row, of_column = self.line_memories()
        return {
            "Lanes": stream.lanes,
            "Bits": stream.dtype.bitwidth(),
            "Signed": int(stream.dtype.signed()),
            "Folds": self.folds(),
            "Height": rows.length,
            "Width": columns.length,
            "KernelY": rows.kernel,
            "KernelX": columns.kernel,
            "StrideY": rows.stride,
            "StrideX": columns.stride,
            "PadTop": rows.low,
            "PadLeft": columns.low,
            "OutHeight": rows.out,
            "OutWidth": columns.out,
            "RowBlockRam": int(of_row.block),
            "ColumnBlockRam": int(of_column.block),
        }

    def structures(self) -> dict[str, Structure]:
        """Per axis comparisons and choices of the open windows, the running maxima, the counters;
        see window_max.sv."""
        width, lanes = self.input_streams()[0].width, self.input_streams()[0].lanes
        rows, columns = self.axes()
        counts = dict.fromkeys(
            ("inner", "loops", "steps", "slots", "windows", "taken", "chosen", "stored"), 0
        )
        select = lutram = brams = 0
        ffs = width + 1  # the second register behind the rows
        for axis, memory in zip((columns, rows), self.line_memories(), strict=True):
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

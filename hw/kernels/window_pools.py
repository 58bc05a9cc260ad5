# SPDX-License-Identifier: Apache-2.0
"""Ops that pool windows of a picture, along the rows and then along the columns: what they share.

See `rtl/stream_pool.sv`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np

from ...quant.grid import IntArray
from .base import Kernel, RtlKernel, Stream
from .facts import Geometry
from .memory import LineMemory

BLOCK_DEPTH = 256
"""Words from which running maxima or sums lie in block RAM, however few bits they have."""


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


class WindowPool(Kernel):
    """Pooling (1, H, W, C) -> (1, Ho, Wo, C)."""

    lanes = {"PE": "NumChannels"}
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

    def pooled_type(self) -> str:
        """Datatype of what a window gives."""
        return str(self.get_nodeattr("inputDataType"))

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
        return [self._stream("ImgDim", self.get_nodeattr("inputDataType"))]

    def output_streams(self) -> list[Stream]:
        return [self._stream("OutDim", self.pooled_type())]

    def _stream(self, dim: str, datatype: str) -> Stream:
        shape = (1, *(int(n) for n in self.get_nodeattr(dim)), self.get_nodeattr("NumChannels"))
        return Stream(datatype, shape, self.get_nodeattr("PE"))

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


class WindowPoolRtl(RtlKernel, WindowPool):
    """RTL backend of a pooling op: `window_pool` twice, in `stream_pool`."""

    registers_output = True
    registers_ready = True
    module = "stream_pool"
    sums: ClassVar[bool]
    """Sums of windows, otherwise their maxima."""
    sources = (
        "rtl/line_memory.sv",
        "rtl/output_register.sv",
        "rtl/stream_register.sv",
        "rtl/window_pool.sv",
        "rtl/stream_pool.sv",
    )

    @abstractmethod
    def widths(self) -> tuple[int, int]:
        """Bits of a word that is kept along the rows and along the columns."""

    def line_memories(self) -> tuple[LineMemory, LineMemory]:
        """What is kept of the open windows along the rows and along the columns."""
        rows, columns = self.axes()
        of_row, of_column = self.widths()
        return (
            self._kept(self.folds(), columns.slots * of_row),
            self._kept(self.folds() * columns.out, rows.slots * of_column),
        )

    @staticmethod
    def _kept(depth: int, width: int) -> LineMemory:
        # What selects among many small memories of LUTs is too slow.
        return LineMemory(depth, width, "block" if depth >= BLOCK_DEPTH else "auto")

    def passes(self) -> Iterator[tuple[Axis, LineMemory, int]]:
        """Along the rows, then along the columns: the axis, what is kept, bits of a word."""
        rows, columns = self.axes()
        return zip((columns, rows), self.line_memories(), self.widths(), strict=True)

    def rtl_parameters(self) -> dict[str, int | str]:
        rows, columns = self.axes()
        stream = self.input_streams()[0]
        of_row, of_column = self.line_memories()
        return {
            "Lanes": stream.lanes,
            "Sum": int(self.sums),
            "InBits": stream.dtype.bitwidth(),
            "RowBits": self.widths()[0] // stream.lanes,
            "OutBits": self.output_streams()[0].dtype.bitwidth(),
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

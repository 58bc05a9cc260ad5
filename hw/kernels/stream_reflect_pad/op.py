# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_reflect_pad: borders that mirror the picture."""

from __future__ import annotations

import numpy as np

from ..base import RtlKernel
from ..bordered import Bordered
from ..costs import Structure, loop_counts
from ..facts import Geometry
from ..memory import LineMemory
from .golden import run


class StreamReflectPad(Bordered):
    """(1, H, W, C) -> (1, H+top+bottom, W+left+right, C), mirrored at the outermost pixels."""

    moves = True
    outputs_are = "reflected pictures"
    attributes = {**Bordered.attributes, "Padding": ("ints", True, [])}
    golden = staticmethod(run)
    border_attribute = "Padding"
    grows = 1

    def check_borders(self, borders: tuple[int, int, int, int], height: int, width: int) -> None:
        """Raise ValueError for a border that is negative or not smaller than its side."""
        top, left, bottom, right = borders
        if min(borders) < 0 or max(top, bottom) >= height or max(left, right) >= width:
            raise ValueError(
                f"{self.onnx_node.name}: found Padding={list(borders)} (top, left, bottom, right) "
                f"of a picture of {height}x{width}, expected borders of 0 or more, smaller than "
                "its side"
            )

    def geometry(self) -> Geometry:
        """A border needs the pixel that it mirrors."""
        (height, width), (top, left, bottom, right) = self.picture(), self.borders()
        rows = np.pad(np.arange(height), (top, bottom), mode="reflect")
        return Geometry(rows, np.pad(np.arange(width), (left, right), mode="reflect"), width)

    def cycles(self) -> int:
        """One output word per cycle, behind the input words that the first one waits for; the next
        picture enters a cycle after the last word of this one is read."""
        top, left, _, _ = self.borders()
        first = (top * self.picture()[1] + left + 1) * self.folds()
        return self.output_streams()[0].words + first + 1


class StreamReflectPad_rtl(RtlKernel, StreamReflectPad):
    """RTL backend of StreamReflectPad."""

    registers_output = True
    registers_ready = True
    module = "stream_reflect_pad"
    sources = (
        "rtl/line_memory.sv",
        "rtl/output_register.sv",
        "kernels/stream_reflect_pad/reflect_index.sv",
        "kernels/stream_reflect_pad/stream_reflect_pad.sv",
    )

    def line_memory(self) -> LineMemory:
        """The lines that a border mirrors and the one next to it, two at least."""
        top, _, bottom, _ = self.borders()
        stream = self.input_streams()[0]
        lines = max(top, bottom, 1) + 1
        return LineMemory(lines * stream.shape[2] * self.folds(), stream.width)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {**self.border_parameters(), "BlockRam": int(self.line_memory().block)}

    def structures(self) -> dict[str, Structure]:
        """The memory, its addresses, the counters of both sides."""
        memory, values = self.line_memory(), self.rtl_parameters()
        loops = loop_counts(int(values[name]) for name in ("Folds", "Rows", "Columns"))
        address = (memory.depth - 1).bit_length()
        return {
            "": Structure(
                {
                    "one": 1,
                    **loops,
                    "address": address,
                    "bits": memory.width,
                    "registers": memory.registers,
                    "late": memory.late,
                },
                luts=memory.select,
                lutram=memory.lutram,
                bram18=memory.brams,
            )
        }


OPS = (StreamReflectPad, StreamReflectPad_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_upsample: every pixel becomes a rectangle of pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..base import Kernel, RtlKernel, Stream, require_divisor
from ..costs import Structure, loop_counts
from ..facts import FoldingRule, Geometry
from ..memory import LineMemory, selection
from .golden import run


class StreamUpsample(Kernel):
    """y[Sy*i + dy, Sx*j + dx] = x[i, j], or with ``phases`` channels of x for each (dy, dx)."""

    lanes = {"PE": "NumChannels"}
    moves = True
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "ImgDim": ("ints", True, []),
        "Scale": ("ints", True, []),
        "phases": ("i", True, 0, {0, 1, 2}),
        "inputDataType": ("s", True, ""),
        "line_ram": ("s", False, "auto", {"auto", "block", "lut"}),
    }
    places = {"line_ram": ("block", "lut")}
    golden = staticmethod(run)

    def folding_rule(self) -> FoldingRule:
        """Where channels are innermost a word holds them all: the places lie side by side."""
        rule = super().folding_rule()
        return (
            replace(rule, only={"PE": [rule.lanes["PE"]]})
            if self.get_nodeattr("phases") == 2
            else rule
        )

    def scale(self) -> tuple[int, int]:
        """Rows and columns of a rectangle."""
        rows, columns = (int(n) for n in self.get_nodeattr("Scale"))
        return rows, columns

    def repeats(self) -> int:
        """Pixels of a rectangle."""
        rows, columns = self.scale()
        return rows * columns

    def input_streams(self) -> list[Stream]:
        groups = self.repeats() if self.get_nodeattr("phases") else 1
        return [self._stream((1, 1), groups)]

    def output_streams(self) -> list[Stream]:
        return [self._stream(self.scale(), 1)]

    def _stream(self, sides: tuple[int, int], groups: int) -> Stream:
        channels, pe = int(self.get_nodeattr("NumChannels")), int(self.get_nodeattr("PE"))
        require_divisor(self.onnx_node.name, channels, "channels", "PE", pe)
        height, width = (n * int(s) for n, s in zip(sides, self.picture(), strict=True))
        datatype = self.get_nodeattr("inputDataType")
        return Stream(datatype, (1, height, width, groups * channels), groups * pe)

    def verify_node(self) -> None:
        """Raise ValueError for a rectangle of one pixel, or words that hold no places."""
        if min(self.scale()) < 1 or self.repeats() < 2:
            raise ValueError(
                f"{self.onnx_node.name}: found Scale={list(self.scale())} (rows, columns), "
                "expected 1 or more, and two pixels of one at least"
            )
        if self.get_nodeattr("phases") == 2 and self.folds() > 1:
            raise ValueError(
                f"{self.onnx_node.name}: found PE={self.get_nodeattr('PE')} with phases=2, "
                f"expected all {self.get_nodeattr('NumChannels')} channels in a word"
            )

    def picture(self) -> tuple[int, int]:
        """Height and width of the input."""
        height, width = (int(n) for n in self.get_nodeattr("ImgDim"))
        return height, width

    def folds(self) -> int:
        """Words of a pixel."""
        return int(self.get_nodeattr("NumChannels")) // int(self.get_nodeattr("PE"))

    def geometry(self) -> Geometry:
        """A rectangle of one pixel."""
        (height, width), (rows, columns) = self.picture(), self.scale()
        return Geometry(
            np.arange(rows * height) // rows, np.arange(columns * width) // columns, width
        )

    def cycles(self) -> int:
        """One word per cycle out."""
        return self.output_streams()[0].words


class StreamUpsample_rtl(RtlKernel, StreamUpsample):
    """RTL backend of StreamUpsample."""

    registers_output = True
    registers_ready = True
    module = "stream_upsample"
    sources = (
        "rtl/line_memory.sv",
        "rtl/output_register.sv",
        "kernels/stream_upsample/stream_upsample.sv",
    )

    def line_memory(self) -> LineMemory:
        """What is read again: a line, or of one row a pixel. While that happens words of the next
        one come in evenly; two words more keep the pipeline busy."""
        rows, columns = self.scale()
        held = self.folds() * (self.picture()[1] if rows > 1 else 1)
        again = rows if rows > 1 else columns
        depth = held + -(-held * (again - 1) // again) + 2
        return LineMemory(depth, self.input_streams()[0].width, self.get_nodeattr("line_ram"))

    def rtl_parameters(self) -> dict[str, int | str]:
        memory, (rows, columns) = self.line_memory(), self.scale()
        stream = self.output_streams()[0]
        return {
            "Lanes": stream.lanes,
            "Bits": int(stream.dtype.bitwidth()),
            "Folds": self.folds(),
            "Columns": self.picture()[1],
            "ScaleY": rows,
            "ScaleX": columns,
            "Phases": int(self.get_nodeattr("phases")),
            "BlockRam": int(memory.block),
        }

    def structures(self) -> dict[str, Structure]:
        """The memory, its addresses, the counters of a line, and what chooses among phases."""
        memory, (rows, columns) = self.line_memory(), self.scale()
        phases = bool(self.get_nodeattr("phases"))
        width = self.output_streams()[0].width
        loops = loop_counts((self.folds(), columns, self.picture()[1], rows))
        return {
            "": Structure(
                {
                    "one": 1,
                    **loops,
                    "address": (memory.depth - 1).bit_length(),
                    "registers": memory.registers,
                    "late": memory.late,
                    "chosen": width if phases else 0,
                    "phases": (self.repeats() - 1).bit_length() if phases else 0,
                },
                luts=memory.select + (width * selection(self.repeats()) if phases else 0),
                lutram=memory.lutram,
                bram18=memory.brams,
            )
        }


OPS = (StreamUpsample, StreamUpsample_rtl)

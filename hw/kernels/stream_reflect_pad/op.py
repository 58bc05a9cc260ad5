# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_reflect_pad: borders that mirror the picture."""

from __future__ import annotations

from typing import Any

from ..base import Kernel, RtlKernel, Stream, require_divisor
from ..line_memory import LineMemory
from .golden import run


class StreamReflectPad(Kernel):
    """(1, H, W, C) -> (1, H+top+bottom, W+left+right, C), mirrored at the outermost pixels."""

    attributes = {
        "NumChannels": ("i", True, 0),
        "SIMD": ("i", True, 0),
        "ImgDim": ("ints", True, []),
        "Padding": ("ints", True, []),
        "inputDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def borders(self) -> tuple[int, int, int, int]:
        """Rows and columns put around the picture: top, left, bottom, right.

        Raises:
            ValueError: a border that is negative or not smaller than its side.
        """
        height, width = (int(n) for n in self.get_nodeattr("ImgDim"))
        padding = [int(n) for n in self.get_nodeattr("Padding")]
        top, left, bottom, right = padding
        if min(padding) < 0 or max(top, bottom) >= height or max(left, right) >= width:
            raise ValueError(
                f"{self.onnx_node.name}: found Padding={padding} (top, left, bottom, right) of a "
                f"picture of {height}x{width}, expected borders of 0 or more, smaller than its side"
            )
        return top, left, bottom, right

    def verify_node(self) -> None:
        """Raise ValueError for borders that the picture is too small to mirror."""
        self.borders()

    def infer_node_datatype(self, model: Any) -> None:
        self.verify_node()
        super().infer_node_datatype(model)

    def input_streams(self) -> list[Stream]:
        height, width = (int(n) for n in self.get_nodeattr("ImgDim"))
        return [self._stream(height, width)]

    def output_streams(self) -> list[Stream]:
        height, width = (int(n) for n in self.get_nodeattr("ImgDim"))
        top, left, bottom, right = self.borders()
        return [self._stream(height + top + bottom, width + left + right)]

    def _stream(self, height: int, width: int) -> Stream:
        channels, simd = int(self.get_nodeattr("NumChannels")), int(self.get_nodeattr("SIMD"))
        require_divisor(self.onnx_node.name, channels, "channels", "SIMD", simd)
        return Stream(self.get_nodeattr("inputDataType"), (1, height, width, channels), simd)

    def folds(self) -> int:
        """Words of a pixel."""
        return int(self.get_nodeattr("NumChannels")) // int(self.get_nodeattr("SIMD"))

    def cycles(self) -> int:
        """One output word per cycle, behind the input words that the first one waits for."""
        top, left, _, _ = self.borders()
        first = (top * int(self.get_nodeattr("ImgDim")[1]) + left + 1) * self.folds()
        return self.output_streams()[0].words + first


class StreamReflectPad_rtl(RtlKernel, StreamReflectPad):
    """RTL backend of StreamReflectPad."""

    module = "stream_reflect_pad"
    sources = (
        "rtl/line_memory.sv",
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
        top, left, bottom, right = self.borders()
        memory = self.line_memory()
        _, height, width, _ = self.input_streams()[0].shape
        return {
            "Width": memory.width,
            "Folds": self.folds(),
            "Rows": height,
            "Columns": width,
            "Top": top,
            "Left": left,
            "Bottom": bottom,
            "Right": right,
            "BlockRam": int(memory.block),
        }

    def lut_estimation(self, fpgapart: str) -> int:
        """The memory unless in block RAM; five LUTs per bit of its address (three addresses) and
        65 for the counters and the comparison of the two sides, as measured."""
        memory = self.line_memory()
        return memory.luts + 5 * memory.depth.bit_length() + 65

    def bram_estimation(self, fpgapart: str) -> int:
        """18 Kbit blocks."""
        return self.line_memory().brams


OPS = (StreamReflectPad, StreamReflectPad_rtl)

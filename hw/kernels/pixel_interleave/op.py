# SPDX-License-Identifier: Apache-2.0
"""FINN ops of pixel_interleave: what makes 1x1 products a transposed 2x2 convolution."""

from __future__ import annotations

import numpy as np

from ..base import Kernel, RtlKernel, Stream, require_divisor
from ..facts import Geometry
from ..memory import LineMemory
from .golden import run


class PixelInterleave(Kernel):
    """y[2i+dy, 2j+dx, c] = x[i, j, (2*dy + dx)*C + c]: (1, H, W, 4C) -> (1, 2H, 2W, C)."""

    lanes = {"PE": "NumChannels"}
    moves = True
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "ImgDim": ("ints", True, []),
        "inputDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def input_streams(self) -> list[Stream]:
        return [self._stream(1, 4)]

    def output_streams(self) -> list[Stream]:
        return [self._stream(2, 1)]

    def _stream(self, side: int, groups: int) -> Stream:
        channels, pe = int(self.get_nodeattr("NumChannels")), int(self.get_nodeattr("PE"))
        require_divisor(self.onnx_node.name, channels, "channels", "PE", pe)
        height, width = (side * int(n) for n in self.get_nodeattr("ImgDim"))
        shape = (1, height, width, groups * channels)
        return Stream(self.get_nodeattr("inputDataType"), shape, pe)

    def geometry(self) -> Geometry:
        """Four pixels of one."""
        height, width = (int(n) for n in self.get_nodeattr("ImgDim"))
        return Geometry(np.arange(2 * height) // 2, np.arange(2 * width) // 2, width)

    def half_words(self) -> int:
        """Words of an input pixel that belong to one output row."""
        return 2 * int(self.get_nodeattr("NumChannels")) // int(self.get_nodeattr("PE"))

    def cycles(self) -> int:
        """One word per cycle, in and out."""
        return self.output_streams()[0].words


class PixelInterleave_rtl(RtlKernel, PixelInterleave):
    """RTL backend of PixelInterleave."""

    registers_output = True
    registers_ready = True
    module = "pixel_interleave"
    sources = (
        "rtl/line_memory.sv",
        "rtl/output_register.sv",
        "kernels/pixel_interleave/pixel_interleave.sv",
    )

    def line_memory(self) -> LineMemory:
        """The two queues: half a line of upper halves, a line of lower ones, two words each so
        that the pipeline never waits."""
        columns, half = int(self.get_nodeattr("ImgDim")[1]), self.half_words()
        depth = half * (columns // 2) + half * (columns - 1) + 4
        return LineMemory(depth, self.input_streams()[0].width)

    def rtl_parameters(self) -> dict[str, int | str]:
        memory = self.line_memory()
        return {
            "Width": memory.width,
            "HalfWords": self.half_words(),
            "Columns": int(self.get_nodeattr("ImgDim")[1]),
            "BlockRam": int(memory.block),
        }

    def lut_estimation(self, fpgapart: str) -> int:
        """The memory unless in block RAM; six LUTs per bit of its address (four addresses, two
        fills) and 44 for the counters' ends and the handshake, as measured."""
        memory = self.line_memory()
        return memory.luts + 6 * memory.depth.bit_length() + 44

    def bram_estimation(self, fpgapart: str) -> int:
        """18 Kbit blocks."""
        return self.line_memory().brams


OPS = (PixelInterleave, PixelInterleave_rtl)

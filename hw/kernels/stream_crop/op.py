# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_crop: cuts the borders off a picture."""

from __future__ import annotations

from typing import Any

from ..base import Kernel, RtlKernel, Stream, require_divisor
from .golden import run


class StreamCrop(Kernel):
    """y[i, j] = x[i + top, j + left]: (1, H, W, C) -> (1, H-top-bottom, W-left-right, C)."""

    attributes = {
        "NumChannels": ("i", True, 0),
        "SIMD": ("i", True, 0),
        "ImgDim": ("ints", True, []),
        "Crop": ("ints", True, []),
        "inputDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def borders(self) -> tuple[int, int, int, int]:
        """Rows and columns cut off: top, left, bottom, right.

        Raises:
            ValueError: a negative border, or nothing remains.
        """
        height, width = (int(n) for n in self.get_nodeattr("ImgDim"))
        crop = [int(n) for n in self.get_nodeattr("Crop")]
        top, left, bottom, right = crop
        if min(crop) < 0 or top + bottom >= height or left + right >= width:
            raise ValueError(
                f"{self.onnx_node.name}: found Crop={crop} (top, left, bottom, right) of a picture "
                f"of {height}x{width}, expected 0 or more and at least one pixel to remain"
            )
        return top, left, bottom, right

    def verify_node(self) -> None:
        """Raise ValueError for borders that leave no picture."""
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
        return [self._stream(height - top - bottom, width - left - right)]

    def _stream(self, height: int, width: int) -> Stream:
        channels, simd = int(self.get_nodeattr("NumChannels")), int(self.get_nodeattr("SIMD"))
        require_divisor(self.onnx_node.name, channels, "channels", "SIMD", simd)
        return Stream(self.get_nodeattr("inputDataType"), (1, height, width, channels), simd)

    def cycles(self) -> int:
        """One input word per cycle."""
        return self.input_streams()[0].words


class StreamCrop_rtl(RtlKernel, StreamCrop):
    """RTL backend of StreamCrop."""

    module = "stream_crop"
    sources = ("kernels/stream_crop/stream_crop.sv",)

    def rtl_parameters(self) -> dict[str, int | str]:
        stream = self.input_streams()[0]
        _, height, width, channels = stream.shape
        top, left, bottom, right = self.borders()
        return {
            "Width": stream.width,
            "Folds": channels // stream.lanes,
            "Rows": height,
            "Columns": width,
            "Top": top,
            "Left": left,
            "Bottom": bottom,
            "Right": right,
        }

    def lut_estimation(self, fpgapart: str) -> int:
        """Two LUTs per bit of the three counters, four for the handshake."""
        values = self.rtl_parameters()
        return sum(2 * int(values[name]).bit_length() for name in ("Folds", "Rows", "Columns")) + 4


OPS = (StreamCrop, StreamCrop_rtl)

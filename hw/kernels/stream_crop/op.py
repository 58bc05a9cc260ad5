# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_crop: cuts the borders off a picture."""

from __future__ import annotations

import numpy as np

from ..base import RtlKernel
from ..bordered import Bordered
from ..costs import Structure, loop_counts
from ..facts import Geometry
from .golden import run


class StreamCrop(Bordered):
    """y[i, j] = x[i + top, j + left]: (1, H, W, C) -> (1, H-top-bottom, W-left-right, C)."""

    moves = True
    swallows = True
    outputs_are = "cropped pictures"
    attributes = {**Bordered.attributes, "Crop": ("ints", True, [])}
    golden = staticmethod(run)
    border_attribute = "Crop"
    grows = -1

    def check_borders(self, borders: tuple[int, int, int, int], height: int, width: int) -> None:
        """Raise ValueError for a negative border, or where nothing remains."""
        top, left, bottom, right = borders
        if min(borders) < 0 or top + bottom >= height or left + right >= width:
            raise ValueError(
                f"{self.onnx_node.name}: found Crop={list(borders)} (top, left, bottom, right) of "
                f"a picture of {height}x{width}, expected 0 or more and at least one pixel to "
                "remain"
            )

    def geometry(self) -> Geometry:
        """What remains needs itself."""
        (height, width), (top, left, bottom, right) = self.picture(), self.borders()
        return Geometry(np.arange(top, height - bottom), np.arange(left, width - right), width)

    def cycles(self) -> int:
        """One input word per cycle."""
        return self.input_streams()[0].words


class StreamCrop_rtl(RtlKernel, StreamCrop):
    """RTL backend of StreamCrop."""

    registers_output = True
    module = "stream_crop"
    sources = ("kernels/stream_crop/stream_crop.sv",)

    def rtl_parameters(self) -> dict[str, int | str]:
        return self.border_parameters()

    def structures(self) -> dict[str, Structure]:
        """The counters of a frame as far as something is cut off, and a register."""
        values = {name: int(value) for name, value in self.rtl_parameters().items()}
        rows = values["Top"] + values["Bottom"] > 0
        columns = values["Left"] + values["Right"] > 0
        counted = (
            values["Folds"] if rows or columns else 1,
            values["Columns"] if rows or columns else 1,
            values["Rows"] if rows else 1,
        )
        sides = [values[name] > 0 for name in ("Top", "Left", "Bottom", "Right")]
        counts = {
            "one": 1,
            **loop_counts(counted),
            "insides": rows + columns,
            "sides": sum(sides),
            "bits": int(self.get_instream_width()),
        }
        return {"": Structure(counts)}


OPS = (StreamCrop, StreamCrop_rtl)

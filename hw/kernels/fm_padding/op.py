# SPDX-License-Identifier: Apache-2.0
"""FINN op of fm_padding: takes the place of FINN's FMPadding_rtl."""

from __future__ import annotations

import numpy as np
from finn.custom_op.fpgadataflow.fmpadding import FMPadding

from ..base import RtlKernel, require_divisor
from ..costs import Structure, loop_counts
from ..facts import Geometry
from .golden import run


class FMPadding_rtl(RtlKernel, FMPadding):
    """A border of code 0 around a picture."""

    lanes = {"SIMD": "NumChannels"}
    moves = True
    makes_borders = True
    registers_output = True
    outputs_are = "padded pictures"
    inside_module = True
    golden = staticmethod(run)
    module = "fm_padding"
    sources = (
        "kernels/fm_padding/border_count.sv",
        "kernels/fm_padding/fm_padding.sv",
    )

    def verify_node(self) -> None:
        """Raise ValueError for what the RTL lacks."""
        node = self.onnx_node.name
        channels, simd = self.get_nodeattr("NumChannels"), self.get_nodeattr("SIMD")
        require_divisor(node, channels, "channels", "SIMD", simd)
        padding = [int(n) for n in self.get_nodeattr("Padding")]
        if min(padding) < 0:
            raise ValueError(f"{node}: found Padding={padding}, expected 0 or more on each side")

    def geometry(self) -> Geometry:
        """A border needs nothing."""
        h, w = self.get_nodeattr("ImgDim")
        top, left, bottom, right = self.get_nodeattr("Padding")
        rows = np.pad(np.arange(h), (top, bottom), constant_values=-1)
        columns = np.pad(np.arange(w), (left, right), constant_values=-1)
        return Geometry(rows, columns, int(w))

    def rtl_parameters(self) -> dict[str, int | str]:
        self.verify_node()
        top, left, bottom, right = (int(n) for n in self.get_nodeattr("Padding"))
        rows, columns = (int(n) for n in self.get_nodeattr("ImgDim"))
        return {
            "Width": self.get_instream_width(),
            "Folds": int(self.get_nodeattr("NumChannels")) // int(self.get_nodeattr("SIMD")),
            "Rows": rows,
            "Columns": columns,
            "Top": top,
            "Left": left,
            "Bottom": bottom,
            "Right": right,
        }

    def structures(self) -> dict[str, Structure]:
        """The counters of a frame, and registers."""
        _, height, width, folds, _ = (int(n) for n in self.get_folded_output_shape())
        loops = loop_counts((height, width * folds))
        return {"": Structure({"one": 1, **loops, "bits": int(self.get_instream_width())})}


OPS = (FMPadding_rtl,)

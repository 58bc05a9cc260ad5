# SPDX-License-Identifier: Apache-2.0
"""FINN op of streaming_fifo: takes the place of FINN's StreamingFIFO_rtl."""

from __future__ import annotations

from typing import Any

from finn.custom_op.fpgadataflow.streamingfifo import StreamingFIFO

from ..base import RtlKernel
from ..memory import bram18_blocks, fifo_in_block_ram, lutram_luts
from .golden import run


class StreamingFIFO_rtl(RtlKernel, StreamingFIFO):
    """First-word-fall-through FIFO with a capacity limit and a peak fill in simulation."""

    places = {"ram_style": ("block", "distributed")}
    moves = True
    on_edge = True
    is_fifo = True
    group = "FIFOs"
    outputs_are = "stream copies"
    golden = staticmethod(run)
    registers_output = True
    registers_ready = True
    module = "streaming_fifo"
    sources = (
        "rtl/stream_register.sv",
        "rtl/output_register.sv",
        "kernels/streaming_fifo/streaming_fifo.sv",
    )

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {
            **super().get_nodeattr_types(),
            # number under which the simulation harness knows this FIFO
            "fifo_id": ("i", False, 0),
            # at most one word in two cycles: takes less
            "half_rate": ("i", False, 0, {0, 1}),
            # FINN's build steps write it; there is no virtual FIFO here
            "impl_style": ("s", False, "rtl", {"rtl"}),
        }

    def verify_node(self) -> None:
        """Raise ValueError for a depth or a memory the RTL does not have."""
        if self.get_nodeattr("depth") < 2:
            raise ValueError(
                f"{self.onnx_node.name}: found depth {self.get_nodeattr('depth')}, "
                "expected 2 or more"
            )
        self.block_ram()

    def get_exp_cycles(self) -> int:
        """One word per cycle, or per two."""
        return int(self.get_number_output_values()) * (1 + int(self.get_nodeattr("half_rate")))

    def block_ram(self) -> bool:
        """Whether the words lie in block RAM: ``ram_style``, or for ``auto`` what is cheaper.

        Raises:
            ValueError: ``ram_style`` is ``ultra``.
        """
        style = self.get_nodeattr("ram_style")
        if style == "ultra":
            raise ValueError(
                f"{self.onnx_node.name}: found ram_style ultra, expected auto, block or distributed"
            )
        if style == "auto":
            return fifo_in_block_ram(
                int(self.get_nodeattr("depth")), int(self.get_instream_width())
            )
        return bool(style == "block")

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "Width": self.get_instream_width(),
            "Depth": self.get_nodeattr("depth"),
            "BlockRam": int(self.block_ram()),
            "HalfRate": int(self.get_nodeattr("half_rate")),
            "Id": self.get_nodeattr("fifo_id"),
        }

    def lut_estimation(self, fpgapart: str) -> int:
        """The memory unless in block RAM, its counters, and at full rate a LUT per data bit."""
        depth, width = int(self.get_nodeattr("depth")), int(self.get_instream_width())
        half_rate = bool(self.get_nodeattr("half_rate"))
        if depth == 2 and not half_rate:
            return width + 5
        memory = 0 if self.block_ram() else lutram_luts(depth, width)
        wraps = 8 if depth & (depth - 1) else 0
        if half_rate:
            return memory + depth.bit_length() + 7 + wraps
        return memory + width + 2 * depth.bit_length() + 4 + wraps

    def bram_estimation(self, fpgapart: str) -> int:
        """18 Kbit blocks."""
        if not self.block_ram():
            return 0
        return bram18_blocks(int(self.get_nodeattr("depth")), int(self.get_instream_width()))

    def uram_estimation(self, fpgapart: str) -> int:
        """None."""
        return 0


OPS = (StreamingFIFO_rtl,)

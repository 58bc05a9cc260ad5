# SPDX-License-Identifier: Apache-2.0
"""FINN op of streaming_fifo: takes the place of FINN's StreamingFIFO_rtl."""

from __future__ import annotations

from typing import Any

from finn.custom_op.fpgadataflow.streamingfifo import StreamingFIFO

from ..base import RtlKernel
from ..costs import Structure
from ..memory import (
    LineMemory,
    bram18_blocks,
    chosen,
    fifo_bank_words,
    fifo_in_block_ram,
    styled_block,
)
from .golden import run

DEEP_WORDS = 256
"""Words in LUTs above which they lie in parts, with registers behind: see streaming_fifo.sv."""


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
        "rtl/line_memory.sv",
        "rtl/deep_memory.sv",
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
        asked = styled_block(self.onnx_node.name, self.get_nodeattr("ram_style"))
        if asked is not None:
            return asked
        return fifo_in_block_ram(int(self.get_nodeattr("depth")), int(self.get_instream_width()))

    def bank_words(self) -> int:
        """Words of a bank of its block RAM; 0 where it has one or none."""
        if not self.block_ram():
            return 0
        return fifo_bank_words(int(self.get_nodeattr("depth")), int(self.get_instream_width()))

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "Width": self.get_instream_width(),
            "Depth": self.get_nodeattr("depth"),
            "BlockRam": int(self.block_ram()),
            "BankWords": self.bank_words(),
            "HalfRate": int(self.get_nodeattr("half_rate")),
            "Id": self.get_nodeattr("fifo_id"),
        }

    def structures(self) -> dict[str, Structure]:
        """Two registers, or a memory, its addresses and its fill."""
        depth, width = int(self.get_nodeattr("depth")), int(self.get_instream_width())
        half_rate, block = bool(self.get_nodeattr("half_rate")), self.block_ram()
        if depth == 2 and not half_rate:
            return {"": Structure({"one": 1, "bits": width}, ffs=2 * width + 2, table="register")}
        address = (depth - 1).bit_length()
        fill = depth.bit_length()
        words = self.bank_words()
        banks = -(-depth // words) if words else 1
        half_rate &= banks == 1
        counts = {"one": 1, "bits": width, "address": address, "fill": fill}
        # Fill, addresses, ready, what is valid and what is stored; words.
        ffs = 3 + fill + 2 * address + width
        if depth & (depth - 1):
            counts["wrap"] = address
        memory = LineMemory(depth, width, "block" if block else "lut")
        lutram, select = memory.lutram, memory.select
        if not block and depth <= DEEP_WORDS:
            counts["registers"] = width
            ffs += 0 if half_rate else width
        elif depth >= 4:  # with a register behind the memory
            counts |= {"late": width, "stored": 1 if half_rate else fill + 1}
            ffs += 1 if half_rate else fill + 1
        if not block and depth > DEEP_WORDS:
            lutram, select, read = memory.in_parts()
            ffs += read + (1 if half_rate else 0)
        blocks = banks * bram18_blocks(words or depth, width) if block else 0
        if banks > 1:  # a register behind each; which is written, and read
            ffs += 1 + banks * (width + 2) + (banks - 1).bit_length()
            # A LUT of each chooses it to write, to read, and one more as mapped.
            select = width * chosen(banks) + 3 * banks
        return {
            "": Structure(
                counts,
                luts=select,
                ffs=ffs,
                lutram=lutram,
                bram18=blocks,
                table="half rate" if half_rate else "queue",
            )
        }


OPS = (StreamingFIFO_rtl,)

# SPDX-License-Identifier: Apache-2.0
"""FINN op XnorMvu and its RTL backend."""

from __future__ import annotations

import math
from typing import Any

from qonnx.core.datatype import DataType

from ..base import RtlKernel, part_memories
from ..bit_heap import XNOR, Cells, popcount, popcount_cycles, tag
from ..costs import Structure
from ..memory import ReadOnlyMemory
from ..mvu import POPCOUNT_PARTS, RTL_PARTS, Mvu
from . import golden

SPREAD_COLUMNS = 2048
"""Columns of weights in LUTs from which one register of inputs and one address reach too far."""
SPREAD = 4
"""Outputs to a copy of the inputs at most."""


class XnorMvu(Mvu):
    """2*popcount(xnor(x, W)) - MW: inputs x BINARY (.., MW), W BINARY (MW, MH)."""

    golden = staticmethod(golden.run)

    def input_type(self) -> str:
        return "BINARY"

    def bounds(self, model: Any, datatype_only: bool = False) -> tuple[int, int]:
        """All inputs disagree with their weights, or all agree."""
        return -self.get_nodeattr("MW"), self.get_nodeattr("MW")

    def weight_rom(self) -> ReadOnlyMemory:
        """The weights, whose words may lie in several memories side by side."""
        return super().weight_rom()._replace(parted=True)

    def spread(self) -> int:
        """Outputs to a copy of the inputs, 0 where one reaches all: see xnor_mvu.sv."""
        pe, rom = int(self.get_nodeattr("PE")), self.weight_rom()
        if rom.block or rom.depth == 1 or rom.width < SPREAD_COLUMNS:
            return 0
        return math.gcd(pe, SPREAD)

    def structures(self) -> dict[str, Structure]:
        """XNOR gates and what counts them."""
        pe, simd = int(self.get_nodeattr("PE")), int(self.get_nodeattr("SIMD"))
        dot = popcount(simd, XNOR).times(pe).also(tag(popcount_cycles(simd), self.tag_bits()))
        if spread := self.spread():  # copies of the inputs, an address for each output
            address = (self.weight_depth() - 1).bit_length()
            dot = dot.also(Cells(0, pe // spread * simd + 1 + self.tag_bits()))
            dot = dot.also(Cells(pe * address, (pe - 1) * address))
        return {"": self.frame_structure({"lanes": pe}, dot=dot)}


class XnorMvu_rtl(RtlKernel, XnorMvu):
    """XnorMvu with its weights in an embedded memory."""

    registers_output = True
    registers_ready = True
    module = "xnor_mvu_rom"
    primitives = True
    sources = (
        *RTL_PARTS,
        *POPCOUNT_PARTS,
        "rtl/spread_rom.sv",
        "kernels/xnor_mvu/xnor_mvu.sv",
        "kernels/xnor_mvu/xnor_mvu_rom.sv",
    )

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "Mw": self.get_nodeattr("MW"),
            "Mh": self.get_nodeattr("MH"),
            "Simd": self.get_nodeattr("SIMD"),
            "Pe": self.get_nodeattr("PE"),
            "AccWidth": self.get_output_datatype().bitwidth(),
            "Spread": self.spread(),
            "BlockRom": int(self.weight_rom().block),
            "RomParts": len(self.parts()),
            "WeightFile": f"{self.onnx_node.name}_weights" + ("" if self._parted() else ".mem"),
        }

    def memories(self, model: Any) -> dict[str, str]:
        name, binary = f"{self.onnx_node.name}_weights", DataType["BINARY"]
        if not self._parted():
            return {f"{name}.mem": self.weight_memory(model, binary)}
        return part_memories(name, self.weight_words(model, binary), self.parts())

    def parts(self) -> list[int]:
        """Bits of each memory that the weights lie in: in LUTs, where they are spread, one for each
        output."""
        pe, rom = int(self.get_nodeattr("PE")), self.weight_rom()
        return [rom.width // pe] * pe if self.spread() else rom.parts

    def _parted(self) -> bool:
        """Whether the weights lie in several memories."""
        return len(self.parts()) > 1


OPS = (XnorMvu, XnorMvu_rtl)

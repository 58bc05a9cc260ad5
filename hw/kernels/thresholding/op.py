# SPDX-License-Identifier: Apache-2.0
"""FINN op of thresholding: takes the place of FINN's Thresholding_rtl."""

from __future__ import annotations

from typing import Any

import numpy as np
from finn.custom_op.fpgadataflow.thresholding import Thresholding
from qonnx.core.datatype import DataType

from ....quant.grid import IntArray
from ..base import RtlKernel, hex_memory, pack_lanes, require_divisor
from ..costs import Structure
from ..facts import Stepped
from ..memory import LUTS_PER_BRAM18, ReadOnlyMemory
from ..thresholds import (
    COUNTED,
    COUNTED_TYPE,
    SOURCES,
    CountsConstants,
    block_tables,
    parallel_structure,
    search_images,
    search_memories,
    search_structure,
    search_tables,
    strangers,
)
from .golden import run


class Thresholding_rtl(CountsConstants, RtlKernel, Thresholding):
    """Comparison with one threshold per channel, or the count of those that are reached."""

    lanes = {"PE": "NumChannels"}
    registers_output = True
    registers_ready = True
    golden = staticmethod(run)
    module = "threshold_codes"
    sources = SOURCES

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {
            **super().get_nodeattr_types(),
            COUNTED: COUNTED_TYPE,
            # FINN's: words from which a single threshold lies in block RAM, 0: where it is cheaper
            "depth_trigger_bram": ("i", False, 0),
            # FINN's, which folding files may hold; there is no UltraRAM here, and one pipeline
            "depth_trigger_uram": ("i", False, 0),
            "deep_pipeline": ("i", False, 1, {0, 1}),
        }

    def verify_node(self) -> None:
        """Raise ValueError for what the RTL lacks."""
        node = self.onnx_node.name
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        require_divisor(node, channels, "channels", "PE", pe)
        if self.get_nodeattr("runtime_writeable_weights"):
            raise ValueError(
                f"{node}: found runtime_writeable_weights=1, expected 0: thresholds are in the "
                "bitstream; build again with other ones"
            )

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        channels, pe = int(self.get_nodeattr("NumChannels")), int(self.get_nodeattr("PE"))
        require_divisor(self.onnx_node.name, channels, "channels", "PE", pe)
        return (*(int(n) for n in self.get_nodeattr("numInputVectors")), channels // pe, pe)

    def _sizes(self) -> tuple[int, int, int, int]:
        """Lanes, words of the thresholds, bits of x, bits of a threshold."""
        pe = int(self.get_nodeattr("PE"))
        groups = int(self.get_nodeattr("NumChannels")) // pe
        bits = int(self.get_input_datatype().bitwidth())
        return pe, groups, bits, int(DataType[self.get_nodeattr("weightDataType")].bitwidth())

    def rom(self) -> ReadOnlyMemory:
        """The thresholds where a channel has one, or all of them at once."""
        pe, groups, _, bits = self._sizes()
        return ReadOnlyMemory(groups, pe * int(self.get_nodeattr("numSteps")) * bits)

    def block_rom(self) -> bool:
        """Whether the thresholds that are compared at once lie in block RAM: from
        ``depth_trigger_bram`` words on where a channel has one, or where that is cheaper."""
        rom, trigger = self.rom(), int(self.get_nodeattr("depth_trigger_bram"))
        if trigger and int(self.get_nodeattr("numSteps")) == 1:
            return rom.depth > 1 and rom.depth >= trigger
        return rom.block

    def held(self) -> list[ReadOnlyMemory]:
        """The thresholds, or every lane's tables."""
        pe, groups, bits, _ = self._sizes()
        if not self.searches():
            rom = self.rom()
            return [rom._replace(place="block" if self.block_rom() else "lut")]
        steps, code = int(self.get_nodeattr("numSteps")), int(self.get_output_datatype().bitwidth())
        tables = search_memories(groups, steps, bits, code)
        return [table for table in tables for _ in range(pe)]

    def structures(self) -> dict[str, Structure]:
        """The RTL's implementations that can compute the node."""
        pe, groups, bits, threshold = self._sizes()
        steps, code = int(self.get_nodeattr("numSteps")), int(self.get_output_datatype().bitwidth())
        place = "block" if self.block_rom() else "lut"
        first = int(self.get_nodeattr("ActVal"))
        # Of two codes the bits that differ.
        found = (first ^ (first + 1)).bit_length() if steps == 1 else code
        compared = parallel_structure(
            pe, groups, steps, bits, threshold, min(found, code), directions=False, place=place
        )
        if steps == 1:
            return {"parallel": compared}
        return {"parallel": compared, "search": search_structure(pe, groups, steps, bits, code)}

    def way(self) -> str:
        """The cheaper."""
        costs = {name: self.cost_of(found) for name, found in self.structures().items()}
        return min(costs, key=lambda way: costs[way].lut + LUTS_PER_BRAM18 * costs[way].bram18)

    def searches(self) -> bool:
        """Whether a search takes fewer LUTs than comparing with all thresholds at once."""
        return self.way() == "search"

    def rtl_parameters(self) -> dict[str, int | str]:
        self.verify_node()
        source, threshold = self.get_input_datatype(), DataType[self.get_nodeattr("weightDataType")]
        searches = self.searches()
        _, groups, bits, _ = self._sizes()
        steps, code = int(self.get_nodeattr("numSteps")), int(self.get_output_datatype().bitwidth())
        return {
            "Channels": self.get_nodeattr("NumChannels"),
            "Pe": self.get_nodeattr("PE"),
            "Steps": self.get_nodeattr("numSteps"),
            "InBits": source.bitwidth(),
            "InSigned": int(source.signed()),
            "ThresholdBits": threshold.bitwidth(),
            "ThresholdSigned": int(threshold.signed()),
            "CodeBits": code,
            "Start": self.get_nodeattr("ActVal"),
            "OutBits": code,
            "Implementation": int(searches),
            "BlockRom": int(self.block_rom()),
            "BlockTables": block_tables(search_memories(groups, steps, bits, code)),
            "ParamFile": f"{self.onnx_node.name}_{'table' if searches else 'thresholds.mem'}",
        }

    def stepped(self, model: Any) -> Stepped:
        """Of every channel, all of them up."""
        values = self._thresholds(model)
        first = np.full(len(values), self.get_nodeattr("ActVal"), dtype=np.int64)
        return Stepped(values, np.ones_like(values), first)

    def memories(self, model: Any) -> dict[str, str]:
        """The images of the thresholds, or of the tables that a search reads.

        Raises:
            ValueError: thresholds are missing, have another shape, or lie outside their type.
        """
        pe, _, bits, width = self._sizes()
        values = self._thresholds(model)
        if self.searches():
            source, code = self.get_input_datatype(), int(self.get_output_datatype().bitwidth())
            first = np.full(len(values), self.get_nodeattr("ActVal"))
            low, high = int(source.min()), int(source.max())
            tables = search_tables(values, np.ones_like(values), first, low, high)
            return search_images(f"{self.onnx_node.name}_table", tables, pe, bits, code)
        words = pack_lanes(values.reshape(-1, pe * values.shape[1]), width)
        image = hex_memory(words, pe * values.shape[1] * width)
        return {f"{self.onnx_node.name}_thresholds.mem": image}

    def _thresholds(self, model: Any) -> IntArray:
        """Return the thresholds (C, n) after checking them."""
        node, steps = self.onnx_node, int(self.get_nodeattr("numSteps"))
        channels = int(self.get_nodeattr("NumChannels"))
        value = model.get_initializer(node.input[1])
        if value is None or value.shape not in ((channels, steps), (1, steps)):
            found = "no initializer" if value is None else f"shape {value.shape}"
            raise ValueError(
                f"{node.name}: {node.input[1]} has {found}, expected an initializer of shape "
                f"{(channels, steps)} or {(1, steps)}"
            )
        wrong = strangers(value, self.get_input_datatype(1))
        if wrong.any():
            raise ValueError(
                f"{node.name}: {node.input[1]} of channel {int(np.argwhere(wrong)[0][0])} is "
                f"{value[wrong][0]:g}, expected {self.get_nodeattr('weightDataType')}"
            )
        return np.broadcast_to(value, (channels, steps)).astype(np.int64)


OPS = (Thresholding_rtl,)

# SPDX-License-Identifier: Apache-2.0
"""FINN op of thresholding: takes the place of FINN's Thresholding_rtl."""

from __future__ import annotations

from typing import Any

import numpy as np
from finn.custom_op.fpgadataflow.thresholding import Thresholding
from qonnx.core.datatype import DataType

from ....quant.grid import IntArray
from ..base import RtlKernel, hex_memory, pack_lanes, require_divisor
from ..memory import LUTS_PER_BRAM18, bram18_blocks, least_rom_cost
from ..thresholds import search_cost, search_images, search_tables
from .golden import run


class Thresholding_rtl(RtlKernel, Thresholding):
    """Comparison with one threshold per channel, or the count of those that are reached."""

    lanes = {"PE": "NumChannels"}
    registers_output = True
    registers_ready = True
    golden = staticmethod(run)
    module = "thresholding"
    sources = (
        "rtl/stream_register.sv",
        "rtl/rom_stream.sv",
        "rtl/adder_tree.sv",
        "rtl/threshold_parallel.sv",
        "rtl/threshold_table.sv",
        "rtl/threshold_search.sv",
        "kernels/thresholding/thresholding.sv",
    )

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {
            **super().get_nodeattr_types(),
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

    def rom(self) -> tuple[int, int]:
        """LUTs of the thresholds as logic, and their 18 Kbit blocks, where a channel has one.

        The logic optimiser takes 3 to 5 LUTs for 64 words of a column, not the LUT6 that holds it.
        """
        pe, groups, _, bits = self._sizes()
        if groups == 1:
            return 0, 0
        column = min(groups / 16, 3.3) if groups <= 64 else groups / 14.5
        return round(pe * bits * column), bram18_blocks(groups, pe * bits)

    def block_rom(self) -> bool:
        """Whether a single threshold per channel lies in block RAM: from ``depth_trigger_bram``
        words on, or where that is cheaper."""
        groups, trigger = self._sizes()[1], int(self.get_nodeattr("depth_trigger_bram"))
        luts, blocks = self.rom()
        return groups > 1 and (groups >= trigger if trigger else luts > LUTS_PER_BRAM18 * blocks)

    def usage(self) -> list[tuple[int, int]]:
        """LUTs and BRAM18 of the RTL's implementations that can compute the node."""
        pe, groups, bits, threshold = self._sizes()
        steps, code = int(self.get_nodeattr("numSteps")), int(self.get_output_datatype().bitwidth())
        if steps == 1:
            lane = 0.57 * max(bits, threshold) + 1 + 2.1 * (code - 1)
            counter = 2 + 1.2 * (groups - 1).bit_length() if groups > 1 else 0
            luts, blocks = (0, self.rom()[1]) if self.block_rom() else (self.rom()[0], 0)
            return [(round(pe * lane + counter) + luts, blocks)]
        luts, blocks = least_rom_cost(pe * steps * threshold, groups)
        compare = steps * -(-bits // 2) + 2 * steps + code
        return [(pe * compare + luts + 20, blocks), search_cost(pe, groups, steps, bits, code)]

    def searches(self) -> bool:
        """Whether a search takes fewer LUTs than comparing with all thresholds at once."""
        costs = [luts + LUTS_PER_BRAM18 * blocks for luts, blocks in self.usage()]
        return len(costs) > 1 and costs[1] < costs[0]

    def lut_estimation(self, fpgapart: str) -> int:
        """Estimated LUTs; see README."""
        return self.usage()[self.searches()][0]

    def bram_estimation(self, fpgapart: str) -> int:
        """18 Kbit blocks."""
        return self.usage()[self.searches()][1]

    def uram_estimation(self, fpgapart: str) -> int:
        """None."""
        return 0

    def rtl_parameters(self) -> dict[str, int | str]:
        self.verify_node()
        source, threshold = self.get_input_datatype(), DataType[self.get_nodeattr("weightDataType")]
        searches = self.searches()
        return {
            "Channels": self.get_nodeattr("NumChannels"),
            "Pe": self.get_nodeattr("PE"),
            "Steps": self.get_nodeattr("numSteps"),
            "InBits": source.bitwidth(),
            "InSigned": int(source.signed()),
            "ThresholdBits": threshold.bitwidth(),
            "ThresholdSigned": int(threshold.signed()),
            "Start": self.get_nodeattr("ActVal"),
            "OutBits": self.get_output_datatype().bitwidth(),
            "Implementation": int(searches),
            "BlockRom": int(self.block_rom()),
            "ParamFile": f"{self.onnx_node.name}_{'table' if searches else 'thresholds'}",
        }

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
        wrong = ~np.vectorize(self.get_input_datatype(1).allowed)(value)
        if wrong.any():
            raise ValueError(
                f"{node.name}: {node.input[1]} of channel {int(np.argwhere(wrong)[0][0])} is "
                f"{value[wrong][0]:g}, expected {self.get_nodeattr('weightDataType')}"
            )
        return np.broadcast_to(value, (channels, steps)).astype(np.int64)


OPS = (Thresholding_rtl,)

# SPDX-License-Identifier: Apache-2.0
"""FINN op BinaryMvu and its RTL backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from qonnx.core.datatype import DataType

from ....quant.grid import IntArray, accumulator_bounds
from ..base import RtlKernel, hex_memory, pack_lanes
from ..bit_heap import AND, PLAIN, XNOR, Cells, planes, tag
from ..choice import ChosenKernel, implementation_attribute
from ..costs import Structure
from ..memory import ReadOnlyMemory
from ..mvu import POPCOUNT_PARTS, RTL_PARTS, Mvu
from . import golden

IMPLEMENTATIONS: tuple[str, ...] = ("serial", "addsub")
"""The ways to compute a dot product, numbered as the RTL numbers them."""
MAX_CODE_BITS = 8
"""Widest input code."""


class BinaryMvu(ChosenKernel, Mvu):
    """Sums of +-code: inputs x UINT1..UINT8 (.., MW), W BINARY (MW, MH), bit 0 = -1, 1 = +1."""

    golden = staticmethod(golden.run)
    attributes = {
        **Mvu.attributes,
        "inputDataType": ("s", True, ""),
        "implementation": implementation_attribute(IMPLEMENTATIONS),
    }

    def input_type(self) -> str:
        """QONNX name of the codes' datatype.

        Raises:
            ValueError: it is none of UINT1 .. UINT8.
        """
        name = str(self.get_nodeattr("inputDataType"))
        if name not in {f"UINT{k}" for k in range(1, MAX_CODE_BITS + 1)}:
            raise ValueError(
                f"{self.onnx_node.name}: found inputDataType '{name}', expected UINT1 to "
                f"UINT{MAX_CODE_BITS}; quantise the activations to codes of at most "
                f"{MAX_CODE_BITS} bits"
            )
        return name

    def infer_node_datatype(self, model: Any) -> None:
        """Follow the input's datatype, then state the output's."""
        datatype = model.get_tensor_datatype(self.onnx_node.input[0])
        self.set_nodeattr("inputDataType", datatype.name)
        super().infer_node_datatype(model)

    def code_bits(self) -> int:
        """Bits of an input code."""
        return int(self.get_input_datatype().bitwidth())

    def weight_bits(self, model: Any) -> IntArray:
        """The weights (MW, MH) as bits.

        Raises:
            ValueError: a weight is neither 0 nor 1.
        """
        weights = self.initializer(model, 1)
        if not 0 <= weights.min() <= weights.max() <= 1:
            raise ValueError(
                f"{self.onnx_node.name}: found weights {weights.min()}..{weights.max()}, expected "
                "0 (for -1) and 1 (for +1)"
            )
        return weights

    def bounds(self, model: Any, datatype_only: bool = False) -> tuple[int, int]:
        """Codes at their largest where the weights are +1 and 0 elsewhere, or the reverse."""
        largest = (1 << self.code_bits()) - 1
        if datatype_only:
            reach = self.get_nodeattr("MW") * largest
            return -reach, reach
        low, high = accumulator_bounds(2 * self.weight_bits(model) - 1, 0, largest)
        return int(low.min()), int(high.max())

    def init_rom(self) -> ReadOnlyMemory:
        """What the sums of `addsub` start from."""
        pe, acc_bits = self.get_nodeattr("PE"), self.get_output_datatype().bitwidth()
        return ReadOnlyMemory(int(self.get_nodeattr("MH") // pe), int(pe * acc_bits))

    def structures(self) -> dict[str, Structure]:
        """The planes of the inputs and what adds them, in either way; see README."""
        pe, simd, k = int(self.get_nodeattr("PE")), int(self.get_nodeattr("SIMD")), self.code_bits()
        sum_bits, init = (simd * ((1 << k) - 1)).bit_length(), self.init_rom()
        cycles = max((simd - 1).bit_length(), 4) + 2
        gated = planes(simd, k, AND, cycles - 1).also(Cells(0, sum_bits + 1)).times(pe)
        serial = gated.also(planes(simd, k, PLAIN, cycles - 1)).also(tag(cycles, self.tag_bits()))
        address = (init.depth - 1).bit_length()
        added = planes(simd, k, XNOR, cycles).times(pe).also(tag(cycles, self.tag_bits()))
        found = self.frame_structure({"init bits": address}, "addsub", added)
        return {
            "serial": self.frame_structure({"sums": pe * sum_bits}, "serial", serial),
            "addsub": replace(
                found,
                luts=found.luts + init.luts,
                ffs=found.ffs + init.registers + address + 1,
                bram18=found.bram18 + init.brams,
            ),
        }


class BinaryMvu_rtl(RtlKernel, BinaryMvu):
    """BinaryMvu with its weights in an embedded memory."""

    registers_output = True
    registers_ready = True
    module = "binary_mvu_rom"
    primitives = True
    sources = (
        *RTL_PARTS,
        *POPCOUNT_PARTS,
        "rtl/binary_plane_heap.sv",
        "kernels/binary_mvu/binary_dot_serial.sv",
        "rtl/binary_dot_addsub.sv",
        "kernels/binary_mvu/binary_mvu.sv",
        "kernels/binary_mvu/binary_mvu_rom.sv",
    )

    def rtl_parameters(self) -> dict[str, int | str]:
        name, chosen = self.onnx_node.name, self.resolved()
        return {
            "Mw": self.get_nodeattr("MW"),
            "Mh": self.get_nodeattr("MH"),
            "Simd": self.get_nodeattr("SIMD"),
            "Pe": self.get_nodeattr("PE"),
            "InWidth": self.code_bits(),
            "AccWidth": self.get_output_datatype().bitwidth(),
            "Implementation": IMPLEMENTATIONS.index(chosen),
            "BlockRom": int(self.weight_rom().block),
            "BlockInit": int(self.init_rom().block),
            "WeightFile": f"{name}_weights.mem",
            "InitFile": f"{name}_init.mem" if chosen == "addsub" else "",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The image of the weights and, for `addsub`, that of what the sums start from.

        Raises:
            ValueError: weights that are no bits, or outputs that outputDataType cannot hold.
        """
        self.check_outputs(model)
        name = self.onnx_node.name
        files = {f"{name}_weights.mem": self.weight_memory(model, DataType["BINARY"])}
        if self.resolved() == "addsub":
            pe, acc_bits = self.get_nodeattr("PE"), self.get_output_datatype().bitwidth()
            minus_ones = np.count_nonzero(self.weight_bits(model) == 0, axis=0)
            # An inverted code is 2**k - 1 minus the code.
            init = -((1 << self.code_bits()) - 1) * minus_ones.astype(np.int64)
            words = pack_lanes(init.reshape(-1, pe), acc_bits)
            files[f"{name}_init.mem"] = hex_memory(words, pe * acc_bits)
        return files


OPS = (BinaryMvu, BinaryMvu_rtl)

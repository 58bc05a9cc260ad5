# SPDX-License-Identifier: Apache-2.0
"""FINN op IntMvu and its RTL backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from qonnx.core.datatype import BaseDataType, DataType

from ....quant.grid import IntArray, accumulator_bounds
from ..base import RtlKernel, hex_memory, pack_lanes
from ..memory import rom_cost
from ..mvu import RTL_PARTS, Mvu
from . import golden


class IntMvu(Mvu):
    """x @ W + bias: inputs x (.., MW), W (MW, MH) of INT2..INT8, optionally bias (MH,)."""

    golden = staticmethod(golden.run)
    attributes = {
        **Mvu.attributes,
        "inputDataType": ("s", True, ""),
        "weightDataType": ("s", True, ""),
    }

    def input_type(self) -> str:
        return str(self.get_nodeattr("inputDataType"))

    def weight_type(self) -> BaseDataType:
        """Datatype of the weights, two's complement."""
        return DataType[self.get_nodeattr("weightDataType")]

    def bias(self, model: Any) -> IntArray:
        """The bias (MH,), 0 where the node has none."""
        if len(self.onnx_node.input) < 3:
            return np.zeros(self.get_nodeattr("MH"), dtype=np.int64)
        return self.initializer(model, 2).reshape(-1)

    def bounds(self, model: Any, datatype_only: bool = False) -> tuple[int, int]:
        """Return the worst-case output of any input, for these weights or for any weights."""
        x = self.get_input_datatype()
        low, high = int(x.min()), int(x.max())
        shape = (self.get_nodeattr("MW"), self.get_nodeattr("MH"))
        bias = self.bias(model)
        if datatype_only:
            weight = self.weight_type()
            extremes = [np.full(shape, int(w)) for w in (weight.min(), weight.max())]
        else:
            extremes = [self.initializer(model, 1)]
        pairs = [accumulator_bounds(w, low, high, bias) for w in extremes]
        return min(int(p[0].min()) for p in pairs), max(int(p[1].max()) for p in pairs)

    def infer_node_datatype(self, model: Any) -> None:
        """Follow the input's datatype, then state the output's."""
        datatype = model.get_tensor_datatype(self.onnx_node.input[0])
        self.set_nodeattr("inputDataType", datatype.name)
        super().infer_node_datatype(model)

    def lut_estimation(self, fpgapart: str) -> int:
        """Adders, accumulators, small multipliers, memories; see README."""
        pe, simd = self.get_nodeattr("PE"), self.get_nodeattr("SIMD")
        x_bits, w_bits = self.get_input_datatype().bitwidth(), self.weight_type().bitwidth()
        acc_bits = self.get_output_datatype().bitwidth()
        in_dsp = self.dsp_estimation(fpgapart) > 0
        # Half of the adders disappear into the DSPs.
        adder = (x_bits + w_bits + 1) // (2 if in_dsp else 1)
        multiplier = 0 if in_dsp else -(-14 * x_bits * w_bits // 10)
        rom_luts, _ = rom_cost(pe * simd * w_bits, self.weight_depth())
        return (
            pe * simd * (multiplier + adder)
            + pe * acc_bits
            + rom_luts
            + self.buffer_luts(x_bits)
            + 60
        )

    def bram_estimation(self, fpgapart: str) -> int:
        pe, simd = self.get_nodeattr("PE"), self.get_nodeattr("SIMD")
        return rom_cost(pe * simd * self.weight_type().bitwidth(), self.weight_depth())[1]

    def dsp_estimation(self, fpgapart: str) -> int:
        """One DSP per product of more than 4 by 4 bits."""
        narrow = min(self.get_input_datatype().bitwidth(), self.weight_type().bitwidth()) <= 4
        return 0 if narrow else self.get_nodeattr("PE") * self.get_nodeattr("SIMD")


class IntMvu_rtl(RtlKernel, IntMvu):
    """IntMvu with its weights and bias in embedded memories."""

    registers_output = True
    registers_ready = True
    module = "int_mvu_rom"
    sources = (*RTL_PARTS, "kernels/int_mvu/int_mvu.sv", "kernels/int_mvu/int_mvu_rom.sv")

    def rtl_parameters(self) -> dict[str, int | str]:
        x = self.get_input_datatype()
        name = self.onnx_node.name
        return {
            "Mw": self.get_nodeattr("MW"),
            "Mh": self.get_nodeattr("MH"),
            "Simd": self.get_nodeattr("SIMD"),
            "Pe": self.get_nodeattr("PE"),
            "InWidth": x.bitwidth(),
            "InSigned": int(x.signed()),
            "WeightWidth": self.weight_type().bitwidth(),
            "AccWidth": self.get_output_datatype().bitwidth(),
            "HasBias": int(self.has_bias()),
            "WeightFile": f"{name}_weights.mem",
            "BiasFile": f"{name}_bias.mem" if self.has_bias() else "",
        }

    def has_bias(self) -> bool:
        """Whether the node has a third input."""
        return len(self.onnx_node.input) > 2

    def memories(self, model: Any) -> dict[str, str]:
        """Weight and bias images.

        Raises:
            ValueError: weights outside weightDataType, or outputs that outputDataType cannot hold.
        """
        self.check_outputs(model)
        name = self.onnx_node.name
        files = {f"{name}_weights.mem": self.weight_memory(model, self.weight_type())}
        if self.has_bias():
            pe, acc_bits = self.get_nodeattr("PE"), self.get_output_datatype().bitwidth()
            words = pack_lanes(self.bias(model).reshape(-1, pe), acc_bits)
            files[f"{name}_bias.mem"] = hex_memory(words, pe * acc_bits)
        return files


OPS = (IntMvu, IntMvu_rtl)

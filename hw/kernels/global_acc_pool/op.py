# SPDX-License-Identifier: Apache-2.0
"""FINN op of global_acc_pool: the RTL backend of FINN's GlobalAccPool."""

from __future__ import annotations

import math

from finn.custom_op.fpgadataflow.globalaccpool import GlobalAccPool

from ..base import RtlKernel
from ..memory import lutram_luts
from .golden import run


class GlobalAccPool_rtl(RtlKernel, GlobalAccPool):
    """Sums of every channel over all pixels of a frame."""

    lanes = {"PE": "NumChannels"}
    outputs_are = "pixel sums"
    inside_module = True
    golden = staticmethod(run)
    registers_output = True
    module = "global_acc_pool"
    sources = ("kernels/global_acc_pool/global_acc_pool.sv",)

    def get_exp_cycles(self) -> int:
        """One input word per cycle; the sums leave with the last pixel."""
        return math.prod(int(n) for n in self.get_folded_input_shape()[:-1])

    def rtl_parameters(self) -> dict[str, int | str]:
        datatype = self.get_input_datatype()
        return {
            "Lanes": self.get_nodeattr("PE"),
            "InBits": datatype.bitwidth(),
            "InSigned": int(datatype.signed()),
            "SumBits": self.get_output_datatype().bitwidth(),
            "Folds": self.get_nodeattr("NumChannels") // self.get_nodeattr("PE"),
            "Pixels": math.prod(int(n) for n in self.get_nodeattr("numInputVectors")),
        }

    def lut_estimation(self, fpgapart: str) -> int:
        """An adder per lane, the sums in LUT RAM, two LUTs per bit of the counters."""
        parameters = {k: int(v) for k, v in self.rtl_parameters().items()}
        width = parameters["Lanes"] * parameters["SumBits"]
        counters = 2 * (parameters["Folds"].bit_length() + parameters["Pixels"].bit_length())
        return width + lutram_luts(parameters["Folds"], width) + counters


OPS = (GlobalAccPool_rtl,)

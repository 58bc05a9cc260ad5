# SPDX-License-Identifier: Apache-2.0
"""FINN op of global_acc_pool: the RTL backend of FINN's GlobalAccPool."""

from __future__ import annotations

import math

from finn.custom_op.fpgadataflow.globalaccpool import GlobalAccPool

from ..base import RtlKernel
from ..costs import Structure, loop_counts
from ..memory import PART_WORDS, LineMemory, in_block_ram
from .golden import run


class GlobalAccPool_rtl(RtlKernel, GlobalAccPool):
    """Sums of every channel over all pixels of a frame."""

    lanes = {"PE": "NumChannels"}
    outputs_are = "pixel sums"
    inside_module = True
    golden = staticmethod(run)
    registers_output = True
    module = "global_acc_pool"
    sources = (
        "rtl/loop_counter.sv",
        "rtl/line_memory.sv",
        "rtl/deep_memory.sv",
        "rtl/turn_memory.sv",
        "kernels/global_acc_pool/global_acc_pool.sv",
    )

    def get_exp_cycles(self) -> int:
        """One input word per cycle; the sums leave with the last pixel."""
        return math.prod(int(n) for n in self.get_folded_input_shape()[:-1])

    def rtl_parameters(self) -> dict[str, int | str]:
        datatype = self.get_input_datatype()
        lanes = int(self.get_nodeattr("PE"))
        folds = int(self.get_nodeattr("NumChannels")) // lanes
        sum_bits = int(self.get_output_datatype().bitwidth())
        return {
            "Lanes": lanes,
            "InBits": datatype.bitwidth(),
            "InSigned": int(datatype.signed()),
            "SumBits": sum_bits,
            "Folds": folds,
            "BlockRam": int(in_block_ram(folds, lanes * sum_bits)),
            "Pixels": math.prod(int(n) for n in self.get_nodeattr("numInputVectors")),
        }

    def structures(self) -> dict[str, Structure]:
        """An adder per lane, the sums in LUT RAM, the counters."""
        values = {k: int(v) for k, v in self.rtl_parameters().items()}
        folds, width = values["Folds"], values["Lanes"] * values["SumBits"]
        if values["Pixels"] == 1:  # nothing is summed
            return {"": Structure({"one": 1}, ffs=width + 1, table="one pixel")}
        loops = loop_counts((folds, values["Pixels"]))
        # Behind a number without sign a sum goes on with what is carried alone.
        added = values["InBits"] if not values["InSigned"] else values["SumBits"]
        carried = values["Lanes"] * (values["SumBits"] - added)
        counts = {"one": 1, **loops, "sums": width - carried, "carried": carried}
        ffs = loops["loops"] + loops["counters"] + 2 + width
        if folds == 1:
            return {"": Structure(counts, ffs=ffs + width, table="one word")}
        memory, address = LineMemory(folds, width), (folds - 1).bit_length()
        lutram, select, read = memory.in_parts()
        # What is read, and from four words on what is written a cycle later.
        ffs += read + width if memory.block or folds > PART_WORDS else width
        if folds >= 4:
            counts |= {"address": address, "late": memory.late}
            ffs += width + 1 + 2 * address
        return {
            "": Structure(
                counts,
                luts=select,
                ffs=ffs,
                lutram=lutram,
                bram18=memory.brams,
                table="" if folds >= 4 else "few words",
            )
        }


OPS = (GlobalAccPool_rtl,)

# SPDX-License-Identifier: Apache-2.0
"""FINN op of label_select: the RTL backend of FINN's LabelSelect."""

from __future__ import annotations

import math
from typing import Any

from finn.custom_op.fpgadataflow.labelselect import LabelSelect

from ..base import RtlKernel
from ..costs import Structure, loop_counts
from .golden import run


class LabelSelect_rtl(RtlKernel, LabelSelect):
    """Index of the largest score; equal scores give the lowest index (K = 1)."""

    lanes = {"PE": "Labels"}
    classifies = True
    outputs_are = "class indices"
    golden = staticmethod(run)
    registers_output = True
    module = "label_select"
    sources = ("rtl/loop_counter.sv", "kernels/label_select/label_select.sv")

    def verify_node(self) -> None:
        """Raise ValueError unless one index is asked for."""
        if self.get_nodeattr("K") != 1:
            raise ValueError(
                f"{self.onnx_node.name}: found K={self.get_nodeattr('K')}, expected 1 (top-1 only)"
            )

    def infer_node_datatype(self, model: Any) -> None:
        self.verify_node()
        super().infer_node_datatype(model)

    def get_exp_cycles(self) -> int:
        """One input word per cycle."""
        return math.prod(int(n) for n in self.get_folded_input_shape()[:-1])

    def get_number_output_values(self) -> int:
        """One index per vector."""
        return math.prod(int(n) for n in self.get_folded_output_shape()[:-1])

    def rtl_parameters(self) -> dict[str, int | str]:
        datatype = self.get_input_datatype()
        return {
            "Lanes": self.get_nodeattr("PE"),
            "InBits": datatype.bitwidth(),
            "InSigned": int(datatype.signed()),
            "Folds": self.get_nodeattr("Labels") // self.get_nodeattr("PE"),
            "OutBits": self.get_output_datatype().bitwidth(),
        }

    def structures(self) -> dict[str, Structure]:
        """A tree of comparisons among the lanes, a register per level, and one with the best so
        far."""
        values = {k: int(v) for k, v in self.rtl_parameters().items()}
        lanes, score, folds = values["Lanes"], values["InBits"], values["Folds"]
        levels, loops = (lanes - 1).bit_length(), loop_counts((folds,))
        compared = chosen = registers = moved = 0
        # Lanes below each node of a level, the registers that its last one passed side by side.
        nodes, passed, index = [1] * lanes, 0, 0
        for level in range(1, levels + 1):
            pairs = [sum(nodes[i : i + 2]) for i in range(0, len(nodes), 2)]
            both = len(nodes) // 2
            kept = score if level < levels or folds > 1 else 0  # the last score of all is not
            compared += both * score
            chosen += both * (kept + level)
            registers += both * (kept + level)
            if len(nodes) % 2:  # alone, its word passes, three times and more as a shift register
                passed += 1
                registers += score + index
            else:
                moved += (score + index) * (passed > 2)
                registers -= passed * (score + index) * (passed > 2)
                passed, index = 1, level
            nodes = pairs
        counts = {
            "one": 1,
            "compared": compared,
            "chosen": chosen,
            "registers": registers,
            "levels": levels,
            "best": score if folds > 1 else 0,
            "index": values["OutBits"] if folds > 1 else 0,
            "out": values["OutBits"] if folds * lanes > 1 else 0,
            **loops,
        }
        return {"": Structure(counts, luts=int(folds * lanes == 1), lutram=moved)}


OPS = (LabelSelect_rtl,)

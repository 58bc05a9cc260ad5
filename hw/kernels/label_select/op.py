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
    sources = ("kernels/label_select/label_select.sv",)

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
        """A tree of comparisons among the lanes, and one with the best so far."""
        values = {k: int(v) for k, v in self.rtl_parameters().items()}
        lanes, score, index = values["Lanes"], values["InBits"], values["OutBits"]
        levels = (lanes - 1).bit_length()
        counts = {
            "one": 1,
            "compared": (lanes - 1) * score,
            "chosen": (lanes - 1) * levels,
            "levels": levels,
            "score": score,
            "index": index,
            **loop_counts((values["Folds"],)),
        }
        return {"": Structure(counts)}


OPS = (LabelSelect_rtl,)

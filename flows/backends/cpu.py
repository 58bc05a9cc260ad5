# SPDX-License-Identifier: Apache-2.0
"""The C++ engine."""

from __future__ import annotations

import onnx

from ...hw.cpu.pack import fused_tensors
from ...quant.grid import IntArray
from ..coverage import Coverage, producers
from .backend import Backend, Opening, Pictures


class Cpu(Backend):
    """The C++ engine."""

    name = "cpu"

    @staticmethod
    def coverage(model: onnx.ModelProto, hardware: onnx.ModelProto | None = None) -> Coverage:
        """All but what matrix products read through."""
        gone = fused_tensors(model)
        reason = "they do not exist on the CPU, where a convolution reads the picture itself"
        return Coverage("cpu", model, producers(model).keys() - gone, reason)

    def __init__(self, opening: Opening) -> None:
        self._engine = opening.cpu.engine

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """Every tensor that exists on the CPU (what convolutions read through does not)."""
        return self._engine.intermediates(pictures)


BACKEND = Cpu

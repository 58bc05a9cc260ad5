# SPDX-License-Identifier: Apache-2.0
"""The whole network in Verilator, every stream captured."""

from __future__ import annotations

from typing import Any

import onnx

from ...hw.kernels import register
from ...hw.kernels.ops import op_of
from ...hw.rtl import simulate as rtl
from ...quant.grid import IntArray
from ..coverage import Coverage, producers
from ..errors import UsageError
from ..progress import frames
from .backend import Backend, Opening, Pictures


class Rtl(Backend):
    """The whole network in Verilator, every stream captured."""

    name = "rtl"

    @staticmethod
    def coverage(model: onnx.ModelProto, hardware: onnx.ModelProto | None = None) -> Coverage:
        """Every stream of the hardware, and what fused kernels show of their inside."""
        if hardware is None:
            return Coverage("rtl", model, producers(model), "not captured")
        register()
        shown = {tensor for node in hardware.graph.node for tensor, _ in op_of(node).taps()}
        reason = "they do not exist in the RTL, where one fused kernel computes the whole block"
        return Coverage("rtl", model, producers(hardware).keys() | shown, reason)

    def __init__(self, opening: Opening) -> None:
        files = opening.files
        if not (files.rtl / "top.json").is_file():
            raise UsageError(
                f"{files.folder}: has no RTL; build it without --until, or compare the "
                "others with --backends"
            )
        self._folder = files.rtl
        self._progress = opening.progress
        self.last: rtl.SimResult | None = None

    @property
    def figures(self) -> dict[str, Any] | None:
        """Cycles and speed of the last run, None before the first."""
        return None if self.last is None else cycle_figures(self.last)

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """Every stream of the network, and the class index."""
        with frames(self._progress, "rtl with capture", len(pictures)) as progress:
            self.last = rtl.simulate(self._folder, pictures, capture=True, progress=progress)
        return self.last.tensors


def cycle_figures(run: rtl.SimResult) -> dict[str, Any]:
    """Return latency, interval and simulation speed."""
    names = ("cycles_per_frame", "interval", "sim_cycles_per_second")
    return {name: getattr(run, name) for name in names}


BACKEND = Rtl

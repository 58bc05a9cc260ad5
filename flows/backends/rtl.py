# SPDX-License-Identifier: Apache-2.0
"""The whole network in Verilator, every stream captured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from ...hw.kernels import register
from ...hw.kernels.ops import op_of
from ...hw.rtl import simulate as rtl
from ...quant.grid import IntArray
from ...sim.network import Pauses
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

    def __init__(self, opening: Opening, cells: Path | None = None) -> None:
        """Args:
        opening: what every backend is opened with.
        cells: models of the 7-series cells, to simulate the bodies that synthesis takes.
        """
        files = opening.files
        if not (files.rtl / "top.json").is_file():
            raise UsageError(
                f"{files.folder}: has no RTL; build it without --until, or compare the "
                "others with --backends"
            )
        self._folder = files.rtl
        self._cells = cells
        self._progress = opening.progress
        self.last: rtl.SimResult | None = None

    @property
    def figures(self) -> dict[str, Any] | None:
        """Cycles and speed of the last run, None before the first."""
        return None if self.last is None else cycle_figures(self.last)

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """Every stream of the network, and the class index."""
        self.last = self.simulate(pictures, "rtl with capture", capture=True)
        return self.last.tensors

    def simulate(
        self, pictures: Pictures, stage: str, *, capture: bool, pauses: Pauses | None = None
    ) -> rtl.SimResult:
        """Run pictures through the network.

        Args:
            pictures: (N, H, W, C) uint8.
            stage: name of the run, for its progress.
            capture: every stream's tensor as well.
            pauses: random standstills at both ends.
        """
        with frames(self._progress, stage, len(pictures)) as progress:
            return rtl.simulate(
                self._folder, pictures, capture=capture, pauses=pauses, cells=self._cells,
                progress=progress,
            )  # fmt: skip

    def waveform(self, pictures: Pictures, cycle: int, path: Path, pauses: Pauses | None) -> None:
        """Write the streams' last cycles before ``cycle`` of such a run; see `rtl.waveform`."""
        rtl.waveform(self._folder, pictures, cycle, path, pauses=pauses, cells=self._cells)


def cycle_figures(run: rtl.SimResult) -> dict[str, Any]:
    """Return latency, interval and simulation speed."""
    names = ("cycles_per_frame", "interval", "sim_cycles_per_second")
    return {name: getattr(run, name) for name in names}


BACKEND = Rtl

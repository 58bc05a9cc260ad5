# SPDX-License-Identifier: Apache-2.0
"""FINN op of duplicate_streams: the RTL backend of FINN's DuplicateStreams."""

from __future__ import annotations

from finn.custom_op.fpgadataflow.duplicatestreams import DuplicateStreams

from ..base import RtlKernel
from ..costs import Structure
from .golden import run


class DuplicateStreams_rtl(RtlKernel, DuplicateStreams):
    """Copies of a stream, each consumed at its own pace."""

    lanes = {"PE": "NumChannels"}
    moves = True
    forks = True
    outputs_are = "stream copies"
    golden = staticmethod(run)
    registers_output = True
    module = "duplicate_streams"
    sources = ("kernels/duplicate_streams/duplicate_streams.sv",)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "Width": self.get_instream_width(),
            "Outputs": self.get_nodeattr("NumOutputStreams"),
        }

    def structures(self) -> dict[str, Structure]:
        """A pending bit per output, and registers."""
        outputs, bits = self.get_nodeattr("NumOutputStreams"), int(self.get_instream_width())
        return {"": Structure({"one": 1, "outputs": int(outputs), "bits": bits})}


OPS = (DuplicateStreams_rtl,)

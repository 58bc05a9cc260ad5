# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_complement: every bit inverted."""

from __future__ import annotations

from ..base import Kernel, RtlKernel, Stream, require_divisor
from .golden import run


class StreamComplement(Kernel):
    """y = -1 - x, of the input's datatype."""

    lanes = {"PE": "NumChannels"}
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "numInputVectors": ("ints", True, []),
        "inputDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def input_streams(self) -> list[Stream]:
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        require_divisor(self.onnx_node.name, channels, "channels", "PE", pe)
        shape = (*self.get_nodeattr("numInputVectors"), channels)
        return [Stream(self.get_nodeattr("inputDataType"), shape, pe)]

    def output_streams(self) -> list[Stream]:
        return self.input_streams()

    def cycles(self) -> int:
        """One word per cycle."""
        return self.output_streams()[0].words


class StreamComplement_rtl(RtlKernel, StreamComplement):
    """RTL backend of StreamComplement."""

    module = "stream_complement"
    sources = ("kernels/stream_complement/stream_complement.sv",)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {"Width": self.input_streams()[0].width}

    def lut_estimation(self, fpgapart: str) -> int:
        """The handshake."""
        return 2


OPS = (StreamComplement, StreamComplement_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_abs: the magnitude of every value."""

from __future__ import annotations

from ..base import Kernel, RtlKernel, Stream, require_divisor
from .golden import run


class StreamAbs(Kernel):
    """y = |x|: INTn in, UINTn out."""

    lanes = {"PE": "NumChannels"}
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "numInputVectors": ("ints", True, []),
        "inputDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def input_streams(self) -> list[Stream]:
        return [self._stream("inputDataType")]

    def output_streams(self) -> list[Stream]:
        return [self._stream("outputDataType")]

    def _stream(self, datatype: str) -> Stream:
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        require_divisor(self.onnx_node.name, channels, "channels", "PE", pe)
        shape = (*self.get_nodeattr("numInputVectors"), channels)
        return Stream(self.get_nodeattr(datatype), shape, pe)

    def cycles(self) -> int:
        """One word per cycle."""
        return self.output_streams()[0].words


class StreamAbs_rtl(RtlKernel, StreamAbs):
    """RTL backend of StreamAbs."""

    module = "stream_abs"
    sources = ("kernels/stream_abs/stream_abs.sv",)

    def rtl_parameters(self) -> dict[str, int | str]:
        source = self.input_streams()[0]
        return {
            "Lanes": source.lanes,
            "Bits": source.dtype.bitwidth(),
        }

    def lut_estimation(self, fpgapart: str) -> int:
        """An adder per lane and the handshake."""
        return int(self.output_streams()[0].width) + 2


OPS = (StreamAbs, StreamAbs_rtl)

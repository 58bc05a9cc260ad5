# SPDX-License-Identifier: Apache-2.0
"""FINN ops of shuffle_concat: concatenation and channel shuffle of two groups."""

from __future__ import annotations

from ..base import Kernel, RtlKernel, Stream
from ..costs import Structure
from .golden import run


class ShuffleConcat(Kernel):
    """y[2j] = left[j], y[2j+1] = right[j]; the output word has 2*PE lanes."""

    lanes = {"PE": "NumChannels"}
    moves = True
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "inputDataType": ("s", True, ""),
        "numInputVectors": ("ints", True, []),
    }
    golden = staticmethod(run)

    def input_streams(self) -> list[Stream]:
        return [self._stream(1)] * 2

    def output_streams(self) -> list[Stream]:
        return [self._stream(2)]

    def _stream(self, times: int) -> Stream:
        shape = (*self.get_nodeattr("numInputVectors"), times * self.get_nodeattr("NumChannels"))
        return Stream(self.get_nodeattr("inputDataType"), shape, times * self.get_nodeattr("PE"))

    def cycles(self) -> int:
        """One output word per cycle."""
        return self.output_streams()[0].words


class ShuffleConcat_rtl(RtlKernel, ShuffleConcat):
    """RTL backend of ShuffleConcat."""

    registers_output = True
    module = "shuffle_concat"
    sources = ("kernels/shuffle_concat/shuffle_concat.sv",)
    in_ports = ("left", "right")

    def rtl_parameters(self) -> dict[str, int | str]:
        stream = self.input_streams()[0]
        return {"Lanes": stream.lanes, "Bits": stream.dtype.bitwidth()}

    def structures(self) -> dict[str, Structure]:
        """The handshake: the shuffle is wires, the data are flip-flops."""
        return {"": Structure({"one": 1, "bits": int(self.get_outstream_width())})}


OPS = (ShuffleConcat, ShuffleConcat_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_flatten: a map becomes one vector, its words stay what they are."""

from __future__ import annotations

import math

from ..base import Kernel, RtlKernel, Stream, require_divisor
from ..costs import Structure
from .golden import run


class StreamFlatten(Kernel):
    """y[(i*W + j)*C + c] = x[i, j, c]: (1, H, W, C) -> (1, 1, 1, H*W*C)."""

    lanes = {"PE": "NumChannels"}
    moves = True
    # Every word leaves as it came: the pixel at the end does not wait for all in front of it.
    reads_ahead = True
    outputs_are = "flattened maps"
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "ImgDim": ("ints", True, []),
        "inputDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def input_streams(self) -> list[Stream]:
        shape = (1, *(int(n) for n in self.get_nodeattr("ImgDim")), self._channels())
        return [self._stream(shape)]

    def output_streams(self) -> list[Stream]:
        pixels = math.prod(int(n) for n in self.get_nodeattr("ImgDim"))
        return [self._stream((1, 1, 1, pixels * self._channels()))]

    def _channels(self) -> int:
        return int(self.get_nodeattr("NumChannels"))

    def _stream(self, shape: tuple[int, ...]) -> Stream:
        pe = int(self.get_nodeattr("PE"))
        require_divisor(self.onnx_node.name, self._channels(), "channels", "PE", pe)
        return Stream(self.get_nodeattr("inputDataType"), shape, pe)

    def cycles(self) -> int:
        """One word per cycle."""
        return self.output_streams()[0].words


class StreamFlatten_rtl(RtlKernel, StreamFlatten):
    """RTL backend of StreamFlatten."""

    registers_output = True
    registers_ready = True
    module = "stream_register"
    sources = ("rtl/stream_register.sv",)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {"Width": self.get_instream_width()}

    def structures(self) -> dict[str, Structure]:
        """Two registers."""
        return {"": Structure({"one": 1, "bits": int(self.get_instream_width())})}


OPS = (StreamFlatten, StreamFlatten_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN ops of shift_requant: rounding shift and saturation."""

from __future__ import annotations

from ..base import Kernel, RtlKernel, Stream
from .golden import run


class ShiftRequant(Kernel):
    """y = saturate(floor(x / 2**shift + 1/2))."""

    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "numInputVectors": ("ints", True, []),
        "inputDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
        "shift": ("i", True, 0),
    }
    golden = staticmethod(run)

    def input_streams(self) -> list[Stream]:
        return [self._stream("inputDataType")]

    def output_streams(self) -> list[Stream]:
        return [self._stream("outputDataType")]

    def _stream(self, datatype: str) -> Stream:
        shape = (*self.get_nodeattr("numInputVectors"), self.get_nodeattr("NumChannels"))
        return Stream(self.get_nodeattr(datatype), shape, self.get_nodeattr("PE"))

    def cycles(self) -> int:
        """One word per cycle."""
        return self.input_streams()[0].words


class ShiftRequant_rtl(RtlKernel, ShiftRequant):
    """RTL backend of ShiftRequant."""

    module = "shift_requant"
    sources = ("kernels/shift_requant/shift_requant.sv",)

    def rtl_parameters(self) -> dict[str, int | str]:
        source, target = self.input_streams()[0], self.output_streams()[0]
        return {
            "Lanes": source.lanes,
            "InBits": source.dtype.bitwidth(),
            "InSigned": int(source.dtype.signed()),
            "OutBits": target.dtype.bitwidth(),
            "OutSigned": int(target.dtype.signed()),
            "Shift": self.get_nodeattr("shift"),
        }

    def lut_estimation(self, fpgapart: str) -> int:
        """Per lane an adder over the bits that stay, two range checks of the excess bits, the
        output mux."""
        source, target = self.input_streams()[0], self.output_streams()[0]
        wide, narrow = int(source.dtype.bitwidth()), int(target.dtype.bitwidth())
        stay = max(1, wide - self.get_nodeattr("shift") + 1)
        return int(source.lanes * (stay + 2 * max(1, (stay - narrow + 5) // 6) + narrow) + 4)


OPS = (ShiftRequant, ShiftRequant_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN ops of shift_requant: shortcut, rounding shift and saturation."""

from __future__ import annotations

from ..base import Kernel, RtlKernel, Stream, require_divisor
from ..costs import Structure
from .golden import run


class ShiftRequant(Kernel):
    """y = saturate(floor((x + shortcut * 2**shortcutShift) / 2**shift + 1/2)): inputs x[,
    shortcut]."""

    lanes = {"PE": "NumChannels"}
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "numInputVectors": ("ints", True, []),
        "inputDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
        "shift": ("i", True, 0),
        "hasShortcut": ("i", True, 0),
        "shortcutShift": ("i", True, 0),
        "shortcutDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def input_streams(self) -> list[Stream]:
        names = ["inputDataType"]
        if self.get_nodeattr("hasShortcut"):
            names.append("shortcutDataType")
        return [self._stream(name) for name in names]

    def output_streams(self) -> list[Stream]:
        return [self._stream("outputDataType")]

    def _stream(self, datatype: str) -> Stream:
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        require_divisor(self.onnx_node.name, channels, "channels", "PE", pe)
        shape = (*self.get_nodeattr("numInputVectors"), channels)
        return Stream(self.get_nodeattr(datatype), shape, pe)

    def cycles(self) -> int:
        """One word per cycle."""
        return self.input_streams()[0].words


class ShiftRequant_rtl(RtlKernel, ShiftRequant):
    """RTL backend of ShiftRequant."""

    registers_output = True
    module = "shift_requant"
    sources = ("kernels/shift_requant/shift_requant.sv",)
    in_ports = ("in", "shortcut")

    def rtl_parameters(self) -> dict[str, int | str]:
        source, *shortcut = self.input_streams()
        target = self.output_streams()[0]
        return {
            "Lanes": source.lanes,
            "InBits": source.dtype.bitwidth(),
            "InSigned": int(source.dtype.signed()),
            "HasShortcut": len(shortcut),
            "ShortcutBits": shortcut[0].dtype.bitwidth() if shortcut else 1,
            "ShortcutSigned": int(shortcut[0].dtype.signed()) if shortcut else 1,
            "ShortcutShift": self.get_nodeattr("shortcutShift"),
            "OutBits": target.dtype.bitwidth(),
            "OutSigned": int(target.dtype.signed()),
            "Shift": self.get_nodeattr("shift"),
        }

    def structures(self) -> dict[str, Structure]:
        """Per lane an adder for the shortcut (a constant alone needs a carry chain only), the check
        of the excess bits, the output multiplexer."""
        source, *shortcut = self.input_streams()
        target, shift = self.output_streams()[0], int(self.get_nodeattr("shift"))
        wide, narrow = int(source.dtype.bitwidth()), int(target.dtype.bitwidth())
        counts = {"one": 1.0, "lanes": source.lanes, "out": source.lanes * narrow}
        if shortcut:
            shortcut_shift = int(self.get_nodeattr("shortcutShift"))
            wide = 1 + max(wide, int(shortcut[0].dtype.bitwidth()) + shortcut_shift)
            counts["added"] = source.lanes * (wide - min(shift, shortcut_shift))
            if shortcut_shift < shift:
                counts["half"] = source.lanes * max(1, wide - shift)
        elif shift:
            counts["rounded"] = source.lanes * wide
        counts["excess"] = source.lanes * max(1, wide - shift + 1 - narrow)
        return {"": Structure(counts, table="shortcut" if shortcut else "")}


OPS = (ShiftRequant, ShiftRequant_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN ops of shift_requant: shortcut, rounding shift and saturation."""

from __future__ import annotations

from ..base import RtlKernel, Stream
from ..channelwise import Channelwise
from ..costs import Structure
from .golden import run


class ShiftRequant(Channelwise):
    """y = saturate(floor((x + shortcut * 2**shortcutShift) / 2**shift + 1/2)): inputs x[,
    shortcut]."""

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
        return [self.stream(name) for name in names]


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
        of the excess bits, the choice of a limit; registers behind both."""
        source, *shortcut = self.input_streams()
        target, shift = self.output_streams()[0].dtype, int(self.get_nodeattr("shift"))
        lanes, narrow = source.lanes, int(target.bitwidth())
        aligned = int(self.get_nodeattr("shortcutShift")) if shortcut else 0
        terms = [(source.dtype, 0), *((stream.dtype, aligned) for stream in shortcut)]
        signed = any(dtype.signed() for dtype, _ in terms)
        wide = max(
            int(dtype.bitwidth()) + up + (signed and not dtype.signed()) for dtype, up in terms
        )
        # The sum without the bits that are rounded away.
        total = max(1, wide - shift + bool(shortcut or shift))
        stays = narrow - int(target.signed())
        excess = total - int(signed) - stays
        clips = excess > 0 or (signed and not target.signed())
        counts = {
            "one": 1.0,
            "registers": lanes * (total + min(total, narrow)),
            # What has no sign is set to its limit by its flip-flops.
            "chosen": lanes * (stays if signed else 1) if clips else 0,
            "excess": lanes * max(0, excess - 3) if clips else 0,
        }
        if shortcut:
            counts["added"] = lanes * (1 + wide - max(shift, aligned))
            if aligned < shift:
                counts["half"] = lanes * (1 + wide - shift)
                counts["below"] = lanes * (shift - aligned)
        return {"": Structure(counts, table="shortcut" if shortcut else "")}


OPS = (ShiftRequant, ShiftRequant_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN op Epilogue and its RTL backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....quant.grid import limits, signed_bits
from ..base import Kernel, RtlKernel, Stream, hex_memory, require_divisor
from ..memory import rom_cost
from . import golden

MUL_BITS = 10
"""Width of the batch-norm multiplier m."""
SLOPE_BITS = 8
"""Width of the RPReLU slope."""


class Epilogue(Kernel):
    """BN + shortcut + RPReLU + re-quantisation: inputs acc[, shortcut], params (5, C)."""

    lanes = {"PE": "NumChannels"}
    golden = staticmethod(golden.run)
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "numInputVectors": ("ints", True, [1]),
        "accDataType": ("s", True, ""),
        "hasShortcut": ("i", True, 0),
        "accShift": ("i", True, 0),
        "shortcutShift": ("i", True, 0),
        "preShift": ("i", True, 0),
        "slopeShift": ("i", True, 0),
        "outShift": ("i", True, 0),
        "accBits": ("i", True, 0),
        "preBits": ("i", True, 0),
        "outputDataType": ("s", True, ""),
    }

    def input_streams(self) -> list[Stream]:
        acc = self.stream("accDataType")
        return [acc, self.stream("outputDataType")] if self.get_nodeattr("hasShortcut") else [acc]

    def output_streams(self) -> list[Stream]:
        return [self.stream("outputDataType")]

    def stream(self, datatype: str) -> Stream:
        """A stream of the op's shape with the datatype that attribute names, a signed one.

        The shortcut has the output's datatype: both are residual streams.
        """
        name = self.get_nodeattr(datatype)
        if not name.startswith("INT"):
            raise ValueError(
                f"{self.onnx_node.name}: found {datatype} {name}, expected INT2..INT32; "
                "Epilogue computes on signed integers"
            )
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        require_divisor(self.onnx_node.name, channels, "channels", "PE", pe)
        vectors = (int(n) for n in self.get_nodeattr("numInputVectors"))
        return Stream(name, (*vectors, channels), pe)

    def infer_node_datatype(self, model: Any) -> None:
        """Follow the accumulator's datatype, then state the output's."""
        datatype = model.get_tensor_datatype(self.onnx_node.input[0])
        self.set_nodeattr("accDataType", datatype.name)
        super().infer_node_datatype(model)

    def cycles(self) -> int:
        return self.output_streams()[0].words

    def bias_limit(self) -> int:
        """Largest |b| that matters: beyond it the pre-activation saturates whatever comes in."""
        acc_bits = self.input_streams()[0].dtype.bitwidth()
        if self.get_nodeattr("accShift"):
            acc_bits = self.get_nodeattr("accBits")
        product = 1 << (acc_bits + MUL_BITS - 2)
        shortcut_bits = self.get_output_datatype().bitwidth() + self.get_nodeattr("shortcutShift")
        shortcut = 1 << (shortcut_bits - 1) if self.get_nodeattr("hasShortcut") else 0
        pre_shift = self.get_nodeattr("preShift")
        # Saturation bound of the shifted sum, and the rounding half on top.
        return (
            product
            + shortcut
            + (1 << (self.get_nodeattr("preBits") - 1 + pre_shift))
            + (1 << pre_shift)
        )

    def param_bits(self) -> int:
        """Bits of one channel's parameters: m, b, zeta, slope, eta."""
        bias_bits = signed_bits(self.bias_limit())
        return MUL_BITS + bias_bits + 2 * self.get_nodeattr("preBits") + SLOPE_BITS

    def lut_estimation(self, fpgapart: str) -> int:
        """Adders, saturations and the slope multiplier per lane, memory; see README."""
        pe, pre_bits = self.get_nodeattr("PE"), self.get_nodeattr("preBits")
        sum_bits = signed_bits(self.bias_limit()) + 2
        rom_luts, _ = rom_cost(pe * self.param_bits(), self.rom_depth())
        return pe * (2 * sum_bits + 5 * pre_bits + 20) + rom_luts + 30

    def bram_estimation(self, fpgapart: str) -> int:
        return rom_cost(self.get_nodeattr("PE") * self.param_bits(), self.rom_depth())[1]

    def dsp_estimation(self, fpgapart: str) -> int:
        """Two multipliers per lane: m and the slope."""
        return 2 * int(self.get_nodeattr("PE"))

    def rom_depth(self) -> int:
        """Parameter words: one per fold of the channels."""
        return int(self.get_nodeattr("NumChannels") // self.get_nodeattr("PE"))


class Epilogue_rtl(RtlKernel, Epilogue):
    """Epilogue with its parameters in an embedded memory."""

    registers_output = True
    registers_ready = True
    module = "epilogue_rom"
    sources = (
        "rtl/stream_register.sv",
        "rtl/rom_stream.sv",
        "rtl/saturate.sv",
        "kernels/epilogue/epilogue_lane.sv",
        "kernels/epilogue/epilogue.sv",
        "kernels/epilogue/epilogue_rom.sv",
    )
    in_ports = ("acc", "shortcut")

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "Channels": self.get_nodeattr("NumChannels"),
            "Pe": self.get_nodeattr("PE"),
            "AccWidth": self.get_input_datatype().bitwidth(),
            "AccShift": self.get_nodeattr("accShift"),
            "AccBits": self.get_nodeattr("accBits"),
            "HasShortcut": self.get_nodeattr("hasShortcut"),
            "ShortcutWidth": self.get_output_datatype().bitwidth(),
            "ShortcutShift": self.get_nodeattr("shortcutShift"),
            "PreShift": self.get_nodeattr("preShift"),
            "PreBits": self.get_nodeattr("preBits"),
            "SlopeShift": self.get_nodeattr("slopeShift"),
            "OutShift": self.get_nodeattr("outShift"),
            "OutWidth": self.get_output_datatype().bitwidth(),
            "MulWidth": MUL_BITS,
            "BiasWidth": signed_bits(self.bias_limit()),
            "SlopeWidth": SLOPE_BITS,
            "ParamFile": f"{self.onnx_node.name}_params.mem",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The parameter image.

        Raises:
            ValueError: no initializer, or a parameter outside its width.
        """
        name = self.onnx_node.name
        value = model.get_initializer(self.onnx_node.input[-1])
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        if value is None or value.shape != (5, channels):
            found = "no initializer" if value is None else f"shape {value.shape}"
            raise ValueError(
                f"{name}: {self.onnx_node.input[-1]} has {found}, expected an initializer of "
                f"shape (5, {channels}) with rows m, b, zeta, slope, eta"
            )
        rows = value.astype(np.int64)
        limit = self.bias_limit()
        rows[1] = np.clip(rows[1], -limit, limit)
        pre_bits = self.get_nodeattr("preBits")
        widths = (MUL_BITS, signed_bits(limit), pre_bits, SLOPE_BITS, pre_bits)
        for label, row, bits in zip(("m", "b", "zeta", "slope", "eta"), rows, widths, strict=True):
            low, high = limits(bits)
            if row.min() < low or row.max() > high:
                channel = int(np.flatnonzero((row < low) | (row > high))[0])
                raise ValueError(
                    f"{name}: {label} of channel {channel} is {row[channel]}, expected "
                    f"{low}..{high}; snap it to that range before lowering"
                )
        masks = [(1 << bits) - 1 for bits in widths]
        shifts = [sum(widths[:i]) for i in range(len(widths))]
        packed = [
            sum(
                (int(v) & mask) << shift
                for v, mask, shift in zip(column, masks, shifts, strict=True)
            )
            for column in rows.T
        ]
        words = [
            sum(packed[c * pe + p] << (p * self.param_bits()) for p in range(pe))
            for c in range(channels // pe)
        ]
        return {f"{name}_params.mem": hex_memory(words, pe * self.param_bits())}


OPS = (Epilogue, Epilogue_rtl)

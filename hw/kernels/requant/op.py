# SPDX-License-Identifier: Apache-2.0
"""FINN op Requant and its RTL backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....quant.grid import IntArray, signed_bits
from ..base import RtlKernel, hex_memory, pack_lanes
from ..channelwise import Channelwise
from ..costs import Structure
from ..memory import ReadOnlyMemory, varying
from . import golden

LUT_FACTOR_BITS = 4
"""Bits of the shorter factor up to which a product lies in LUTs."""
DSP_FACTOR_BITS = (25, 18)
"""Bits of the factors of a DSP block."""
_PART = DSP_FACTOR_BITS[1] - 1
"""Bits of the lower part of a factor, without sign."""


class Requant(Channelwise):
    """Codes by a product, a sum and a shift: inputs x, params (5, C)."""

    golden = staticmethod(golden.run)
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "numInputVectors": ("ints", True, [1]),
        "inputDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
        "factorBits": ("i", True, 0),
        "summandBits": ("i", True, 0),
        "shift": ("i", True, 0),
        "first": ("i", True, 0),
        "last": ("i", True, 0),
    }

    def verify_node(self) -> None:
        """Check that the output holds the codes, and that there is a multiplier.

        Raises:
            ValueError: it does not, or factors are too long.
        """
        name, target = self.onnx_node.name, self.get_output_datatype()
        first, last = self.get_nodeattr("first"), self.get_nodeattr("last")
        if not target.min() <= first <= last <= target.max():
            raise ValueError(
                f"{name}: found codes {first}..{last}, expected some that outputDataType "
                f"{target.name} holds"
            )
        x, factor = self.factor_bits()
        both = 2 * _PART + 1
        most = DSP_FACTOR_BITS[0] if self.split() else both
        if x > most or factor > both:
            raise ValueError(
                f"{name}: found inputs of {x} bits and factors of {factor}, expected at most "
                f"{most} and {both}; use thresholds"
            )

    def factor_bits(self) -> tuple[int, int]:
        """Bits of an input, with a sign, and of a factor."""
        x = self.get_input_datatype()
        return int(x.bitwidth()) + (not x.signed()), int(self.get_nodeattr("factorBits"))

    def split(self) -> bool:
        """Whether a product takes two DSP blocks, a part of the factor each."""
        short, long = sorted(self.factor_bits())
        most, least = DSP_FACTOR_BITS
        return min(short, long) > LUT_FACTOR_BITS and (short > least or long > most)

    def waits(self) -> int:
        """Cycles that a sum waits, as multipliers of 18 bits would take them."""
        long = sum(bits > _PART + 1 for bits in self.factor_bits())
        return long - self.split()

    def rom(self) -> ReadOnlyMemory:
        """Factor and summand of the channels of a word."""
        pe = int(self.get_nodeattr("PE"))
        return ReadOnlyMemory(int(self.get_nodeattr("NumChannels")) // pe, pe * self.lane_bits())

    def lane_bits(self) -> int:
        """Bits of one channel's constants."""
        return int(self.get_nodeattr("factorBits") + self.get_nodeattr("summandBits"))

    def structures(self) -> dict[str, Structure]:
        """Per lane a product, in DSP blocks if both factors are long, sums, and the limits."""
        pe, rom, (x, factor) = int(self.get_nodeattr("PE")), self.rom(), self.factor_bits()
        summand, shift = int(self.get_nodeattr("summandBits")), int(self.get_nodeattr("shift"))
        code = int(self.get_output_datatype().bitwidth())
        narrow, split = min(x, factor) <= LUT_FACTOR_BITS, self.split()
        product = x + _PART + 1 if split else x + factor
        added = max(product, summand) + 1
        # Bits that nothing reads have no registers.
        total = max(x + factor, added) + 1 if split else added
        left = max(1, total - shift)
        total -= min(shift, _PART) if split else 0
        # Of a few words many bits are constants.
        word = round(varying(rom.depth) * (factor + 2 * summand))
        registers = x + word + product + total + 2 + 3 * code
        if split:
            registers += 2 * x + 2 * (factor - _PART) + added
        registers += left * self.waits()
        counts: dict[str, float] = {
            "one": 1,
            "lanes": pe,
            "multiplied": pe * x * factor if narrow else 0,
            "added": pe * (added + total if split else added),
            "left": pe * left,
            "code": pe * code,
            "registers": pe * registers,
        }
        address = (rom.depth - 1).bit_length()
        return {
            "": Structure(
                counts,
                luts=rom.luts + 2 * address,
                ffs=rom.registers + address,
                bram18=rom.brams,
                dsp=0 if narrow else pe * (2 if split else 1),
                table="" if rom.depth > 1 else "constants",
            )
        }


class Requant_rtl(RtlKernel, Requant):
    """Requant with its constants in an embedded memory."""

    registers_output = True
    registers_ready = True
    module = "requant"
    primitives = True
    sources = (
        "rtl/stream_register.sv",
        "rtl/rom_stream.sv",
        "kernels/requant/requant_sum.sv",
        "kernels/requant/requant_lane.sv",
        "kernels/requant/requant.sv",
    )

    def rtl_parameters(self) -> dict[str, int | str]:
        self.verify_node()
        x = self.get_input_datatype()
        return {
            "Channels": self.get_nodeattr("NumChannels"),
            "Pe": self.get_nodeattr("PE"),
            "InBits": x.bitwidth(),
            "InSigned": int(x.signed()),
            "FactorBits": self.get_nodeattr("factorBits"),
            "SummandBits": self.get_nodeattr("summandBits"),
            "Split": int(self.split()),
            "Shift": self.get_nodeattr("shift"),
            "First": self.get_nodeattr("first"),
            "Last": self.get_nodeattr("last"),
            "OutBits": self.get_output_datatype().bitwidth(),
            "BlockRom": int(self.rom().block),
            "ParamFile": f"{self.onnx_node.name}_params.mem",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The image of the constants: of a lane the factor, above it the summand.

        Raises:
            ValueError: no initializer, or a constant outside its width.
        """
        name = self.onnx_node.name
        value = model.get_initializer(self.onnx_node.input[1])
        shape = (golden.FACTOR_DIGITS + golden.SUMMAND_DIGITS, self.get_nodeattr("NumChannels"))
        if value is None or value.shape != shape:
            found = "no initializer" if value is None else f"shape {value.shape}"
            raise ValueError(
                f"{name}: {self.onnx_node.input[1]} has {found}, expected an initializer of shape "
                f"{shape}: digits of factors and summands"
            )
        constants = golden.constants(value.astype(np.int64))
        lanes = np.zeros(shape[1], dtype=object)
        offset = 0
        for attribute, values in zip(("factorBits", "summandBits"), constants, strict=True):
            bits = int(self.get_nodeattr(attribute))
            self._check(attribute, values, bits)
            lanes = lanes + (np.array(pack_lanes(values[:, None], bits), dtype=object) << offset)
            offset += bits
        words = pack_lanes(lanes.reshape(-1, self.get_nodeattr("PE")), offset)
        return {f"{name}_params.mem": hex_memory(words, self.get_nodeattr("PE") * offset)}

    def _check(self, attribute: str, values: IntArray, bits: int) -> None:
        wrong = np.array([signed_bits(int(v)) > bits and int(v) != -1 << bits - 1 for v in values])
        if wrong.any():
            channel = int(wrong.argmax())
            raise ValueError(
                f"{self.onnx_node.name}: channel {channel} has the constant {values[channel]}, "
                f"expected {attribute} {bits} bits"
            )


OPS = (Requant, Requant_rtl)

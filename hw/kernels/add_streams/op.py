# SPDX-License-Identifier: Apache-2.0
"""FINN ops of add_streams: the sum of several streams, each times a constant."""

from __future__ import annotations

from typing import Any

from qonnx.core.datatype import DataType

from ..base import RtlKernel, Stream
from ..channelwise import Channelwise
from ..costs import Structure
from .golden import run

MAX_FACTOR_BITS = 16
"""Most bits of a factor."""
LUT_INPUTS = 5
"""Bits of a code whose multiple needs no adders: LUTs hold two bits of it each."""


def digits(factor: int) -> list[tuple[int, int]]:
    """Return the fewest powers of two whose sums and differences give a factor, ascending: the
    exponent and the sign of each."""
    half = factor >> 1
    triple = factor + half
    return [
        (b, 1 if triple >> b & 1 else -1)
        for b in range(MAX_FACTOR_BITS + 2)
        if (triple ^ half) >> b & 1
    ]


class AddStreams(Channelwise):
    """y = sum of factors[s] * x_s: inputs x_0, x_1, .."""

    joins_together = True
    outputs_are = "sums"
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "numInputVectors": ("ints", True, []),
        "inputDataTypes": ("strings", True, []),
        "factors": ("ints", True, []),
        "outputDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def input_streams(self) -> list[Stream]:
        return [self.stream_of(name) for name in self.get_nodeattr("inputDataTypes")]

    def factors(self) -> list[int]:
        """The factor of each input.

        Raises:
            ValueError: there are others than one of 1 to 16 bits, or its negative, for each of one
                or more inputs.
        """
        found = [int(f) for f in self.get_nodeattr("factors")]
        count = len(self.get_nodeattr("inputDataTypes"))
        fit = all(0 < abs(f) < 1 << MAX_FACTOR_BITS for f in found)
        if count < 1 or len(found) != count or not fit:
            raise ValueError(
                f"{self.onnx_node.name}: found the factors {found} of {count} inputs, expected one "
                f"or more inputs and a factor of 1 to {(1 << MAX_FACTOR_BITS) - 1} for each, or of "
                "their negatives"
            )
        return found

    def ends(self) -> tuple[int, int]:
        """The smallest and the largest sum."""
        terms = zip(self.factors(), self.input_streams(), strict=True)
        ends = [sorted(f * int(end) for end in (x.dtype.min(), x.dtype.max())) for f, x in terms]
        return sum(low for low, _ in ends), sum(high for _, high in ends)

    def reached(self, model: Any) -> tuple[int, int]:
        return self.ends()

    def verify_node(self) -> None:
        """Raise ValueError unless the output type holds every sum."""
        target, (low, high) = DataType[self.get_nodeattr("outputDataType")], self.ends()
        if low < target.min() or high > target.max():
            raise ValueError(
                f"{self.onnx_node.name}: its sums reach {low}..{high}, found outputDataType "
                f"{target.name}; use a wider one"
            )


class AddStreams_rtl(RtlKernel, AddStreams):
    """RTL backend of AddStreams."""

    registers_output = True
    module = "add_streams"
    sources = ("kernels/add_streams/add_streams.sv",)

    def rtl_parameters(self) -> dict[str, int | str]:
        self.verify_node()
        streams, factors = self.input_streams(), self.factors()
        return {
            "Lanes": streams[0].lanes,
            "Streams": len(streams),
            "Width": sum(x.width for x in streams),
            "InBits": _packed([int(x.dtype.bitwidth()) for x in streams]),
            "InSigned": sum(x.dtype.signed() << s for s, x in enumerate(streams)),
            "Factors": _packed(factors),
            "OutBits": self.output_streams()[0].dtype.bitwidth(),
        }

    def structures(self) -> dict[str, Structure]:
        """Per lane an adder for every power of two in the factors but one; registers behind the
        sum, and behind the products where there are adders in them."""
        streams, factors = self.input_streams(), [abs(f) for f in self.factors()]
        lanes, wide = streams[0].lanes, int(self.output_streams()[0].dtype.bitwidth())
        scaled = any(len(digits(factor)) > 1 for factor in factors)
        # Below the lowest power of two of a factor its term takes no adder.
        shared = sorted(digits(factor)[0][0] for factor in factors)[1:]
        added = mapped = registers = 0
        for x, factor in zip(streams, factors, strict=True):
            (low, sign), *others = digits(factor)
            odd = factor >> low
            # Of codes times the odd part of the factor; below it stand zeros.
            bits = _bits(odd * int(x.dtype.min()), odd * int(x.dtype.max()))
            registers += bits if scaled else 0
            widths = [bits + low - exponent for exponent, _ in others]
            if others and sign < 0:
                widths[0] = bits
            if int(x.dtype.bitwidth()) <= LUT_INPUTS:
                mapped += max(widths, default=0)
            else:
                added += sum(widths)
        counts = {
            "one": 1,
            "inputs": len(streams),
            "summed": lanes * sum(wide - low for low in shared),
            "scaled": lanes * added,
            "mapped": lanes * mapped,
        }
        ffs = 1 + lanes * wide + (1 + lanes * registers if scaled else 0)
        return {"": Structure(counts, ffs=ffs)}


def _bits(low: int, high: int) -> int:
    """Return the bits of integers from ``low`` to ``high``."""
    return max((-low - 1).bit_length() + 1 if low < 0 else 0, high.bit_length() + (low < 0))


def _packed(values: list[int]) -> int:
    """Return 32 bits of each number, in two's complement, the first one lowest."""
    return sum((value & 0xFFFF_FFFF) << (32 * i) for i, value in enumerate(values))


OPS = (AddStreams, AddStreams_rtl)

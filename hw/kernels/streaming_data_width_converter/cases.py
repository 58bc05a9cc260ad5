# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of streaming_data_width_converter."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, channels: int, lanes_in: int, lanes_out: int, pixels: int) -> Case:
    bits, signed = type_format(datatype)
    low, high = limits(bits, signed)
    shape = (1, pixels, channels)
    return Case(
        name=f"{datatype.lower()}_{lanes_in}_to_{lanes_out}",
        op_type="StreamingDataWidthConverter",
        attrs={
            "inShape": list(shape),
            "outShape": list(shape),
            "inWidth": lanes_in * bits,
            "outWidth": lanes_out * bits,
            "dataType": datatype,
        },
        operands=(Operand("x", datatype, shape, low, high),),
        output_types=(datatype,),
    )


SMOKE = [
    _case("INT8", 24, 2, 24, 10),
    _case("BINARY", 36, 36, 3, 8),
    _case("UINT4", 12, 4, 6, 16),
]

FULL = [
    _case("BINARY", 81, 1, 81, 3),
    _case("UINT8", 81, 81, 27, 4),
    _case("INT14", 10, 5, 2, 12),
    _case("INT8", 36, 9, 4, 6),
    _case("INT8", 2, 1, 2, 60),
    _case("INT8", 2, 2, 1, 60),
]

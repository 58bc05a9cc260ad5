# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of streaming_fifo."""

from __future__ import annotations

from ....quant.grid import limits, type_format
from ....sim.cases import Case, Operand


def _case(
    datatype: str, channels: int, pe: int, pixels: int, depth: int, style: str, half: int = 0
) -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_pe{pe}_depth{depth}_{style}{'_half' if half else ''}",
        op_type="StreamingFIFO",
        attrs={
            "depth": depth,
            "folded_shape": [1, pixels, channels // pe, pe],
            "normal_shape": [1, pixels, channels],
            "dataType": datatype,
            "ram_style": style,
            "fifo_id": 3,
            "half_rate": half,
        },
        operands=(Operand("x", datatype, (1, pixels, channels), low, high),),
        output_types=(datatype,),
    )


SMOKE = [
    _case("INT8", 6, 2, 12, 2, "auto"),
    _case("UINT3", 5, 1, 20, 13, "distributed"),
    _case("INT8", 12, 6, 40, 24, "block"),
    _case("BINARY", 9, 1, 20, 32, "auto"),
    _case("INT8", 12, 6, 40, 24, "block", half=1),
    _case("INT8", 4, 4, 1400, 1100, "block"),
    _case("UINT3", 4, 1, 20, 8, "distributed", half=1),
    _case("UINT2", 3, 1, 160, 330, "auto"),  # in parts of LUTs
]

FULL = [
    _case("BINARY", 24, 24, 60, 3, "auto"),
    _case("INT8", 48, 24, 60, 64, "auto"),
    _case("INT8", 8, 4, 400, 600, "auto"),
    _case("UINT8", 2, 1, 300, 257, "block"),
    _case("INT14", 4, 2, 30, 2, "block"),
    _case("INT8", 2, 1, 400, 512, "block", half=1),
    _case("UINT8", 4, 2, 30, 2, "auto", half=1),
    _case("INT8", 4, 4, 700, 600, "block", half=1),
    _case("BINARY", 4, 1, 200, 576, "auto", half=1),
]

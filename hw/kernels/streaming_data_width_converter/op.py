# SPDX-License-Identifier: Apache-2.0
"""FINN op of streaming_data_width_converter: takes the place of FINN's own backend."""

from __future__ import annotations

import math

from finn.custom_op.fpgadataflow.streamingdatawidthconverter import StreamingDataWidthConverter

from ..base import RtlKernel
from ..costs import Structure
from .golden import run


class StreamingDataWidthConverter_rtl(RtlKernel, StreamingDataWidthConverter):
    """Width converter at full rate for any pair of widths."""

    moves = True
    on_edge = True
    group = "width converters"
    outputs_are = "stream copies"
    golden = staticmethod(run)
    registers_output = True
    module = "streaming_data_width_converter"
    sources = (
        "rtl/width_up.sv",
        "rtl/width_down.sv",
        "kernels/streaming_data_width_converter/streaming_data_width_converter.sv",
    )

    def get_exp_cycles(self) -> int:
        """One word per cycle on the narrower side."""
        return max(
            math.prod(self.get_folded_input_shape()[:-1]),
            math.prod(self.get_folded_output_shape()[:-1]),
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        width_in, width_out = self.get_instream_width(), self.get_outstream_width()
        return {
            "InWidth": width_in,
            "MidWidth": math.lcm(width_in, width_out),
            "OutWidth": width_out,
        }

    def structures(self) -> dict[str, Structure]:
        """Words gathered to their common multiple, and that cut; a counter for each."""
        width_in, width_out = int(self.get_instream_width()), int(self.get_outstream_width())
        middle = math.lcm(width_in, width_out)
        up, down = middle // width_in, middle // width_out
        counts: dict[str, float] = {}
        if up > 1:
            counts |= {"up": 1, "up counter": (up - 1).bit_length(), "gathered": middle}
        if down > 1:
            counts |= {
                "down": 1,
                "down counter": (down - 1).bit_length(),
                "cut": middle - width_out,
            }
            counts |= {"last": width_out}
        return {"": Structure(counts)}


OPS = (StreamingDataWidthConverter_rtl,)

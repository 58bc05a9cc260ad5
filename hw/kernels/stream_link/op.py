# SPDX-License-Identifier: Apache-2.0
"""FINN ops of stream_link: a register on an edge, which holds a word or two."""

from __future__ import annotations

from ..base import Kernel, RtlKernel, Stream
from ..costs import Structure
from .golden import run


class StreamLink(Kernel):
    """y = x, one cycle later."""

    moves = True
    on_edge = True
    group = "links"
    outputs_are = "stream copies"
    attributes = {
        "shape": ("ints", True, []),
        "lanes": ("i", True, 1),
        "dataType": ("s", True, ""),
        # at most one word in two cycles
        "half_rate": ("i", False, 0, {0, 1}),
    }
    golden = staticmethod(run)

    def input_streams(self) -> list[Stream]:
        shape = tuple(int(n) for n in self.get_nodeattr("shape"))
        return [Stream(self.get_nodeattr("dataType"), shape, int(self.get_nodeattr("lanes")))]

    def output_streams(self) -> list[Stream]:
        return self.input_streams()

    def cycles(self) -> int:
        """One word per cycle, or per two."""
        return self.input_streams()[0].words * (1 + int(self.get_nodeattr("half_rate")))


class StreamLink_rtl(RtlKernel, StreamLink):
    """RTL backend of StreamLink."""

    registers_output = True
    registers_ready = True
    module = "stream_link"
    sources = ("rtl/stream_register.sv", "kernels/stream_link/stream_link.sv")

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "Width": self.get_instream_width(),
            "HalfRate": int(self.get_nodeattr("half_rate")),
        }

    def structures(self) -> dict[str, Structure]:
        """A register, at full rate two."""
        table = "half rate" if self.get_nodeattr("half_rate") else "full rate"
        return {"": Structure({"one": 1, "bits": int(self.get_instream_width())}, table=table)}


OPS = (StreamLink, StreamLink_rtl)

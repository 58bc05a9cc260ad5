# SPDX-License-Identifier: Apache-2.0
"""FINN op of streaming_split: the RTL backend of FINN's StreamingSplit."""

from __future__ import annotations

import math
from typing import Any

from finn.custom_op.fpgadataflow.split import StreamingSplit

from ..base import RtlKernel
from ..costs import Structure
from ..facts import FoldingRule
from .golden import run


class StreamingSplit_rtl(RtlKernel, StreamingSplit):
    """Consecutive channels of a stream to consecutive outputs."""

    moves = True
    outputs_are = "halves of splits"
    golden = staticmethod(run)
    registers_output = True
    module = "streaming_split"
    sources = ("kernels/streaming_split/streaming_split.sv",)

    def verify_node(self) -> None:
        """Raise ValueError unless every output gets whole words."""
        self.words_per_stream()

    def folding_rule(self) -> FoldingRule:
        """Words of the channels that are whole for every stream."""
        return FoldingRule({"SIMD": math.gcd(*map(int, self.get_nodeattr("ChannelsPerStream")))})

    def words_per_stream(self) -> list[int]:
        """Words of a vector that each output takes.

        Raises:
            ValueError: the channels of an output do not fill its words.
        """
        simd = int(self.get_nodeattr("SIMD"))
        channels = [int(c) for c in self.get_nodeattr("ChannelsPerStream")]
        if len(channels) < 2 or any(c < 1 or c % simd for c in channels):
            raise ValueError(
                f"{self.onnx_node.name}: found ChannelsPerStream={channels}, expected two or more "
                f"multiples of SIMD={simd}; choose another SIMD"
            )
        return [c // simd for c in channels]

    def rtl_parameters(self) -> dict[str, int | str]:
        words = self.words_per_stream()
        return {
            "Width": self.get_instream_width(),
            "Streams": len(words),
            "WordsPerStream": sum(n << (32 * i) for i, n in enumerate(words)),
        }

    def structures(self) -> dict[str, Structure]:
        """Registers, a counter of words and the choice of an output."""
        words, bits = self.words_per_stream(), int(self.get_instream_width())
        counter = (max(words) - 1).bit_length()
        return {"": Structure({"one": 1, "outputs": len(words), "counter": counter, "bits": bits})}

    def infer_node_datatype(self, model: Any) -> None:
        self.verify_node()
        super().infer_node_datatype(model)


OPS = (StreamingSplit_rtl,)

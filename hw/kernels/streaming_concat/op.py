# SPDX-License-Identifier: Apache-2.0
"""FINN op of streaming_concat: the RTL backend of FINN's StreamingConcat."""

from __future__ import annotations

import math
from typing import Any

from finn.custom_op.fpgadataflow.concat import StreamingConcat
from qonnx.core.datatype import BaseDataType

from ..base import RtlKernel
from ..costs import Structure
from ..facts import FoldingRule
from .golden import run


class StreamingConcat_rtl(RtlKernel, StreamingConcat):
    """The channels of several streams of one datatype behind one another."""

    moves = True
    joins_in_turn = True
    outputs_are = "concats"
    golden = staticmethod(run)
    registers_output = True
    module = "streaming_concat"
    sources = ("kernels/streaming_concat/streaming_concat.sv",)

    def verify_node(self) -> None:
        """Raise ValueError unless the inputs have one datatype and whole words."""
        self.words_per_stream()
        types = list(self.get_nodeattr("inputDataTypes"))
        if len(types) != self.get_n_inputs() or len(set(types)) != 1:
            raise ValueError(
                f"{self.onnx_node.name}: found inputDataTypes={types}, expected the same datatype "
                f"for each of the {self.get_n_inputs()} inputs"
            )

    def folding_rule(self) -> FoldingRule:
        """Words of the channels that are whole for every stream."""
        return FoldingRule({"SIMD": math.gcd(*map(int, self.get_nodeattr("ChannelsPerStream")))})

    def words_per_stream(self) -> list[int]:
        """Words of a vector that each input gives.

        Raises:
            ValueError: the channels of an input do not fill its words.
        """
        simd = int(self.get_nodeattr("SIMD"))
        channels = [int(c) for c in self.get_nodeattr("ChannelsPerStream")]
        if len(channels) < 2 or any(c < 1 or c % simd for c in channels):
            raise ValueError(
                f"{self.onnx_node.name}: found ChannelsPerStream={channels}, expected two or more "
                f"multiples of SIMD={simd}; choose another SIMD"
            )
        return [c // simd for c in channels]

    def infer_node_datatype(self, model: Any) -> None:
        names = [model.get_tensor_datatype(name).name for name in self.onnx_node.input]
        self.set_nodeattr("inputDataTypes", names)
        self.verify_node()
        super().infer_node_datatype(model)

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        return self.get_input_datatype()

    def rtl_parameters(self) -> dict[str, int | str]:
        words = self.words_per_stream()
        return {
            "Width": self.get_outstream_width(),
            "Streams": len(words),
            "WordsPerStream": sum(n << (32 * i) for i, n in enumerate(words)),
        }

    def structures(self) -> dict[str, Structure]:
        """A counter of words and the choice of an input."""
        words, bits = self.words_per_stream(), int(self.get_outstream_width())
        counts = {
            "one": 1,
            "inputs": len(words),
            "counter": (max(words) - 1).bit_length(),
            "choice": bits * (len(words) - 1),
            "bits": bits,
        }
        return {"": Structure(counts)}


OPS = (StreamingConcat_rtl,)

# SPDX-License-Identifier: Apache-2.0
"""FINN op SignedThresholding and its RTL backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from qonnx.core.datatype import DataType

from ....quant.grid import FLOAT32_EXACT_BITS, IntArray
from ..base import RtlKernel, hex_memory, pack_lanes
from ..channelwise import Channelwise
from ..choice import ChosenKernel, implementation_attribute
from ..costs import Structure
from ..facts import Stepped
from ..memory import ReadOnlyMemory
from ..thresholds import (
    COUNTED,
    COUNTED_TYPE,
    SOURCES,
    CountsConstants,
    block_tables,
    lane_bits,
    parallel_structure,
    search_images,
    search_memories,
    search_structure,
    search_tables,
    strangers,
)
from . import golden

ENCODINGS = ("code", "onehot", "thermometer")
"""Output encodings; the RTL knows them by their index."""
IMPLEMENTATIONS = ("parallel", "search")
"""The ways to find the code, numbered as the RTL numbers them."""


class SignedThresholding(Channelwise, ChosenKernel):
    """base + steps of -1 and +1 at thresholds: inputs x, thresholds (C, n), steps (C, n), base."""

    golden = staticmethod(golden.run)
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "numSteps": ("i", True, 0),
        "numInputVectors": ("ints", True, [1]),
        "inputDataType": ("s", True, ""),
        "weightDataType": ("s", True, ""),
        "baseDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
        "encoding": ("s", True, "code", set(ENCODINGS)),
        "implementation": implementation_attribute(IMPLEMENTATIONS, required=False),
    }

    def verify_node(self) -> None:
        """Check that the encoded word is exact in a float32 container.

        Raises:
            ValueError: more levels than that.
        """
        levels = int(self.get_output_datatype().bitwidth())
        if self.get_nodeattr("encoding") != "code" and levels > FLOAT32_EXACT_BITS:
            raise ValueError(
                f"{self.onnx_node.name}: found {self.get_nodeattr('encoding')} of {levels} levels, "
                f"expected at most {FLOAT32_EXACT_BITS}; stream codes instead"
            )

    def code_bits(self) -> int:
        """Bits of a code: those of the output, or of 0..N where N bits are streamed."""
        bits = int(self.get_output_datatype().bitwidth())
        return bits if self.get_nodeattr("encoding") == "code" else bits.bit_length()

    def get_op_and_param_counts(self) -> dict[str, int]:
        """Thresholds, under the name that FINN's MVAU uses for its own."""
        bits = int(DataType[self.get_nodeattr("weightDataType")].bitwidth())
        count = int(self.get_nodeattr("NumChannels") * self.get_nodeattr("numSteps"))
        return {f"param_threshold_{bits}b": count}

    def lane_bits(self) -> int:
        """Bits of one channel's parameters: thresholds, directions, base."""
        threshold = int(DataType[self.get_nodeattr("weightDataType")].bitwidth())
        return lane_bits(int(self.get_nodeattr("numSteps")), threshold, self.code_bits(), True)

    def structures(self) -> dict[str, Structure]:
        """A comparator per threshold, or a search where codes are streamed."""
        pe, bits = int(self.get_nodeattr("PE")), int(self.get_input_datatype().bitwidth())
        groups, steps = int(self.get_nodeattr("NumChannels")) // pe, self.get_nodeattr("numSteps")
        threshold = int(DataType[self.get_nodeattr("weightDataType")].bitwidth())
        plain = self.get_nodeattr("encoding") == "code"
        levels = 0 if plain else int(self.get_output_datatype().bitwidth())
        found = {
            "parallel": parallel_structure(
                pe, groups, steps, bits, threshold, self.code_bits(), directions=True, levels=levels
            )
        }
        if plain:
            found["search"] = search_structure(pe, groups, steps, bits, self.code_bits())
        return found

    def rom(self) -> ReadOnlyMemory:
        """The parameters of a comparison with all thresholds at once."""
        channels, pe = int(self.get_nodeattr("NumChannels")), int(self.get_nodeattr("PE"))
        return ReadOnlyMemory(channels // pe, pe * self.lane_bits())

    def search_memories(self) -> list[ReadOnlyMemory]:
        """The tables of a search."""
        groups = int(self.get_nodeattr("NumChannels") // self.get_nodeattr("PE"))
        bits = int(self.get_input_datatype().bitwidth())
        return search_memories(groups, self.get_nodeattr("numSteps"), bits, self.code_bits())

    def refusal(self, wanted: str) -> str:
        """A search finds codes alone."""
        return (
            f"found implementation {wanted} with encoding {self.get_nodeattr('encoding')}, "
            "expected encoding code; use parallel or auto"
        )


class SignedThresholding_rtl(CountsConstants, RtlKernel, SignedThresholding):
    """SignedThresholding with its parameters in embedded memories."""

    registers_output = True
    registers_ready = True
    module = "threshold_codes"
    sources = SOURCES

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {**super().get_nodeattr_types(), COUNTED: COUNTED_TYPE}

    def held(self) -> list[ReadOnlyMemory]:
        """The parameters, or every lane's tables."""
        if self.resolved() == "parallel":
            return [self.rom()]
        lanes = range(int(self.get_nodeattr("PE")))
        return [table for table in self.search_memories() for _ in lanes]

    def rtl_parameters(self) -> dict[str, int | str]:
        source, threshold = self.get_input_datatype(), DataType[self.get_nodeattr("weightDataType")]
        way = self.resolved()
        file = "params.mem" if way == "parallel" else "table"
        return {
            "Channels": self.get_nodeattr("NumChannels"),
            "Pe": self.get_nodeattr("PE"),
            "Steps": self.get_nodeattr("numSteps"),
            "InBits": source.bitwidth(),
            "InSigned": int(source.signed()),
            "ThresholdBits": threshold.bitwidth(),
            "ThresholdSigned": int(threshold.signed()),
            "Directions": 1,
            "CodeBits": self.code_bits(),
            "Encoding": ENCODINGS.index(self.get_nodeattr("encoding")),
            "OutBits": self.get_output_datatype().bitwidth(),
            "Implementation": IMPLEMENTATIONS.index(way),
            "BlockRom": int(self.rom().block),
            "BlockTables": block_tables(self.search_memories()),
            "ParamFile": f"{self.onnx_node.name}_{file}",
        }

    def stepped(self, model: Any) -> Stepped | None:
        """Where codes are streamed, of whichever way they were to be found."""
        code = self.get_nodeattr("encoding") == "code"
        return self._constants(model) if code else None

    def memories(self, model: Any) -> dict[str, str]:
        """The parameter images.

        Raises:
            ValueError: a constant is missing, has another shape, or lies outside its type.
        """
        thresholds, steps, base = self._constants(model)
        self._check_codes(thresholds, steps, base)
        if self.resolved() == "search":
            return self._search_memories(thresholds, steps, base)
        return self._parallel_memory(thresholds, steps, base)

    def _constants(self, model: Any) -> Stepped:
        matrix = (self.get_nodeattr("NumChannels"), self.get_nodeattr("numSteps"))
        return Stepped(
            self._constant(model, 1, matrix, self.get_nodeattr("weightDataType")),
            self._constant(model, 2, matrix, "BIPOLAR"),
            self._constant(model, 3, matrix[:1], self.get_nodeattr("baseDataType")),
        )

    def _search_memories(
        self, thresholds: IntArray, steps: IntArray, base: IntArray
    ) -> dict[str, str]:
        """The tables of a search."""
        source = self.get_input_datatype()
        tables = search_tables(thresholds, steps, base, int(source.min()), int(source.max()))
        return search_images(
            f"{self.onnx_node.name}_table",
            tables,
            self.get_nodeattr("PE"),
            int(source.bitwidth()),
            self.code_bits(),
        )

    def _parallel_memory(
        self, thresholds: IntArray, steps: IntArray, base: IntArray
    ) -> dict[str, str]:
        """One image, a word for the channels that are compared at once."""
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        matrix = thresholds.shape
        # A step down where x >= t is a step up where x < t, from a base one lower: the unit counts
        # comparisons, inverted where the direction is down.
        down = steps < 0
        start = base - down.sum(axis=1)
        bits = int(DataType[self.get_nodeattr("weightDataType")].bitwidth())
        parts = (
            (pack_lanes(thresholds, bits), matrix[1] * bits),
            (pack_lanes(down, 1), matrix[1]),
            (pack_lanes(start[:, None], self.code_bits()), self.code_bits()),
        )
        lanes = np.zeros(channels, dtype=object)
        offset = 0
        for values, width in parts:
            lanes = lanes + (np.array(values, dtype=object) << offset)
            offset += width
        words = pack_lanes(lanes.reshape(-1, pe), offset)
        return {f"{self.onnx_node.name}_params.mem": hex_memory(words, pe * offset)}

    def _constant(self, model: Any, index: int, shape: tuple[int, ...], datatype: str) -> IntArray:
        """Return an initializer's integers after checking shape and range."""
        node = self.onnx_node
        value = model.get_initializer(node.input[index])
        if value is None or value.shape != shape:
            found = "no initializer" if value is None else f"shape {value.shape}"
            raise ValueError(
                f"{node.name}: {node.input[index]} has {found}, expected an initializer of shape "
                f"{shape}"
            )
        wrong = strangers(value, DataType[datatype])
        if wrong.any():
            channel = int(np.argwhere(wrong)[0][0])
            raise ValueError(
                f"{node.name}: {node.input[index]} of channel {channel} is {value[wrong][0]:g}, "
                f"expected {datatype}"
            )
        return np.asarray(value).astype(np.int64)

    def _check_codes(self, thresholds: IntArray, steps: IntArray, base: IntArray) -> None:
        """Check that every code some input reaches is one that the output type holds."""
        source, target = self.get_input_datatype(), self.get_output_datatype()
        low, high = int(target.min()), int(target.max())
        if self.get_nodeattr("encoding") != "code":
            low, high = 0, int(target.bitwidth())
        # Codes change at thresholds only.
        seen = np.concatenate([thresholds.T, np.full((1, len(base)), int(source.min()))])
        seen = seen.clip(int(source.min()), int(source.max()))
        codes = golden.signed_thresholding(seen, thresholds, steps, base)
        wrong = (codes < low) | (codes > high)
        if wrong.any():
            channel = int(np.argwhere(wrong)[0][1])
            raise ValueError(
                f"{self.onnx_node.name}: channel {channel} reaches code {codes[wrong][0]}, "
                f"expected {low}..{high}; widen outputDataType {target.name}"
            )


OPS = (SignedThresholding, SignedThresholding_rtl)

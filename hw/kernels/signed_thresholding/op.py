# SPDX-License-Identifier: Apache-2.0
"""FINN op SignedThresholding and its RTL backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from qonnx.core.datatype import DataType

from ....quant.grid import FLOAT32_EXACT_BITS, IntArray
from ..base import RtlKernel, Stream, hex_memory, pack_lanes, require_divisor
from ..choice import ChosenKernel, implementation_attribute
from ..memory import least_rom_cost
from . import golden

ENCODINGS = ("code", "onehot", "thermometer")
"""Output encodings; the RTL knows them by their index."""
IMPLEMENTATIONS = ("parallel", "search")
"""The ways to find the code, numbered as the RTL numbers them."""


def search_stages(steps: int) -> int:
    """Return the comparisons that a binary search among ``steps`` thresholds takes."""
    return steps.bit_length()


def search_entries(steps: int, stage: int) -> int:
    """Return the entries per channel of a search's table: as many as its index takes values."""
    return (steps >> (search_stages(steps) - stage)) + 1


def search_tables(
    thresholds: IntArray, steps: IntArray, base: IntArray, low: int, high: int
) -> list[IntArray]:
    """Return the tables of a binary search for inputs low..high.

    Table s < S, S = `search_stages`, is (C, `search_entries`): entry i holds the largest x - low
    that does not reach the ascending threshold number (2i + 1) 2^(S-1-s) - 1, high - low where none
    exists. Table S is (C, n + 1): the code where i thresholds are reached.

    Args:
        thresholds: (C, n) integers, in any order.
        steps: (C, n) of -1 and +1.
        base: (C,) the code below every threshold.
        low: smallest input.
        high: largest input.
    """
    count = thresholds.shape[1]
    always = thresholds <= low
    # What every x reaches is part of the start; what none does fills up the end.
    start = base + np.where(always, steps, 0).sum(axis=1)
    reached = np.where(always | (thresholds > high), high + 1, thresholds)
    order = np.argsort(reached, axis=1, kind="stable")
    largest = np.take_along_axis(reached, order, 1) - 1 - low
    sums = np.take_along_axis(steps, order, 1).cumsum(axis=1)
    padded = np.pad(largest, ((0, 0), (0, 1)), constant_values=high - low)
    stages = search_stages(count)
    tables = []
    for stage in range(stages):
        node = 1 << (stages - stage)
        at = node * np.arange(search_entries(count, stage)) + node // 2 - 1
        tables.append(padded[:, at.clip(max=count)])
    return [*tables, start[:, None] + np.pad(sums, ((0, 0), (1, 0)))]


class SignedThresholding(ChosenKernel):
    """base + steps of -1 and +1 at thresholds: inputs x, thresholds (C, n), steps (C, n), base."""

    lanes = {"PE": "NumChannels"}
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

    def input_streams(self) -> list[Stream]:
        return [self._stream("inputDataType")]

    def output_streams(self) -> list[Stream]:
        return [self._stream("outputDataType")]

    def _stream(self, datatype: str) -> Stream:
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        require_divisor(self.onnx_node.name, channels, "channels", "PE", pe)
        vectors = (int(n) for n in self.get_nodeattr("numInputVectors"))
        return Stream(self.get_nodeattr(datatype), (*vectors, channels), pe)

    def cycles(self) -> int:
        """One word per cycle."""
        return self.output_streams()[0].words

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
        return int(self.get_nodeattr("numSteps") * (threshold + 1) + self.code_bits())

    def _parallel(self) -> tuple[int, int]:
        """LUTs and BRAM18 of a comparator per threshold; see README."""
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        steps, levels = self.get_nodeattr("numSteps"), self.get_output_datatype().bitwidth()
        compare = steps * -(-int(self.get_input_datatype().bitwidth()) // 2)
        decode = 0 if self.get_nodeattr("encoding") == "code" else levels
        lane = compare + 2 * steps + self.code_bits() + decode
        luts, blocks = least_rom_cost(pe * self.lane_bits(), channels // pe)
        return int(pe * lane + luts + 20), blocks

    def _search(self) -> tuple[int, int]:
        """LUTs and BRAM18 of a binary search; see README."""
        pe, steps = self.get_nodeattr("PE"), self.get_nodeattr("numSteps")
        groups = self.get_nodeattr("NumChannels") // pe
        bits = int(self.get_input_datatype().bitwidth())
        stages = search_stages(steps)
        lane = stages * -(-bits // 2)
        shared, blocks = 20, 0
        for stage in range(stages + 1):
            depth = groups * search_entries(steps, stage)
            luts, ram = least_rom_cost(bits if stage < stages else self.code_bits(), depth)
            address = (depth - 1).bit_length()
            lane += luts + (address if stage > 0 else 0)
            shared += address if groups > 1 else 0
            blocks += pe * ram
        return pe * lane + shared, blocks

    def usage(self) -> dict[str, tuple[int, int]]:
        """LUTs and BRAM18 of each implementation that can compute the node."""
        usage = {"parallel": self._parallel()}
        if self.get_nodeattr("encoding") == "code":
            usage["search"] = self._search()
        return usage

    def refusal(self, wanted: str) -> str:
        """A search finds codes alone."""
        return (
            f"found implementation {wanted} with encoding {self.get_nodeattr('encoding')}, "
            "expected encoding code; use parallel or auto"
        )


class SignedThresholding_rtl(RtlKernel, SignedThresholding):
    """SignedThresholding with its parameters in embedded memories."""

    registers_output = True
    registers_ready = True
    module = "signed_thresholding"
    sources = (
        "rtl/stream_register.sv",
        "rtl/rom_stream.sv",
        "rtl/adder_tree.sv",
        "kernels/signed_thresholding/threshold_parallel.sv",
        "kernels/signed_thresholding/threshold_table.sv",
        "kernels/signed_thresholding/threshold_search.sv",
        "kernels/signed_thresholding/signed_thresholding.sv",
    )

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
            "CodeBits": self.code_bits(),
            "Encoding": ENCODINGS.index(self.get_nodeattr("encoding")),
            "OutBits": self.get_output_datatype().bitwidth(),
            "Implementation": IMPLEMENTATIONS.index(way),
            "ParamFile": f"{self.onnx_node.name}_{file}",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The parameter images.

        Raises:
            ValueError: a constant is missing, has another shape, or lies outside its type.
        """
        matrix = (self.get_nodeattr("NumChannels"), self.get_nodeattr("numSteps"))
        thresholds = self._constant(model, 1, matrix, self.get_nodeattr("weightDataType"))
        steps = self._constant(model, 2, matrix, "BIPOLAR")
        base = self._constant(model, 3, matrix[:1], self.get_nodeattr("baseDataType"))
        self._check_codes(thresholds, steps, base)
        if self.resolved() == "search":
            return self._search_memories(thresholds, steps, base)
        return self._parallel_memory(thresholds, steps, base)

    def _search_memories(
        self, thresholds: IntArray, steps: IntArray, base: IntArray
    ) -> dict[str, str]:
        """One image per table and lane: the lane's channels, one after the other."""
        pe = self.get_nodeattr("PE")
        source = self.get_input_datatype()
        low, high = int(source.min()), int(source.max())
        tables = search_tables(thresholds, steps, base, low, high)
        bits = [int(source.bitwidth())] * (len(tables) - 1) + [self.code_bits()]
        return {
            f"{self.onnx_node.name}_table_{stage}_{lane}.mem": hex_memory(
                table[lane::pe].reshape(-1).tolist(), width
            )
            for stage, (table, width) in enumerate(zip(tables, bits, strict=True))
            for lane in range(pe)
        }

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
        wrong = ~np.vectorize(DataType[datatype].allowed)(value)
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

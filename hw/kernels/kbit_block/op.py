# SPDX-License-Identifier: Apache-2.0
"""FINN op KbitBlock and its RTL backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from qonnx.core.datatype import DataType

from ....quant.grid import IntArray
from ..base import Stream, hex_memory, pack_lanes, require_divisor
from ..block import Block
from ..costs import Structure
from ..fused import FusedRtl
from ..memory import LineMemory, ReadOnlyMemory
from ..mvu import POPCOUNT_PARTS, weight_words
from ..thresholds import (
    TurnMemories,
    block_tables,
    search_images,
    search_memories,
    search_stages,
    search_tables,
    turn_tables,
)
from . import golden
from .structure import structure_of

MAX_CODE_BITS = 8
"""Widest code, in and out."""
LEAST_OUT_DEPTH = 32
"""Words of the smallest memory behind the thresholds: LUT RAM has as many."""
BESIDE_DOT = 5
"""Cycles from a step to the thresholds, beside those of the dot product: line memory, accumulator,
the register that holds a group."""


class KbitBlock(Block):
    """A k-bit layer: inputs x, weights (MW, MH), thresholds (MH, n), steps (MH, n), base (MH,)."""

    ragged = frozenset({"PE"})
    golden = staticmethod(golden.run)
    attributes = {
        **Block.attributes,
        "numSteps": ("i", True, 0),
        "accDataType": ("s", True, ""),
    }

    def input_streams(self) -> list[Stream]:
        return [self._stream("inputDataType", "IFMDim", "IFMChannels", self.input_lanes())]

    def output_streams(self) -> list[Stream]:
        return [self._stream("outputDataType", "OFMDim", "OFMChannels", self.output_lanes())]

    def _stream(self, datatype: str, dim: str, channels: str, lanes: int) -> Stream:
        shape = (1, *self.numbers(dim), self.number(channels))
        return Stream(self.get_nodeattr(datatype), shape, lanes)

    def taps(self) -> list[tuple[str, Stream]]:
        """The accumulators: what the weights make."""
        body = self.body
        if body is None:
            return []
        weights = body.input[-4].name
        return [
            (node.output[0], self.inner_stream(node.output[0], self.output_lanes()))
            for node in body.node
            if weights in node.input
        ]

    def group_steps(self) -> int:
        """Steps of a group of outputs."""
        return self.inputs() // self.number("SIMD")

    def compute_cycles(self) -> int:
        """The groups of an output pixel, each its steps or its words, and an idle step."""
        steps, words = self.group_steps(), self.group_cycles()
        return (self.folds() - 1) * max(steps, words) + max(steps + 1, words)

    def input_lanes(self) -> int:
        """The fewest with which taking a frame is no slower than computing it."""
        pixels, (rows, columns) = self.numbers("IFMDim"), self.numbers("OFMDim")
        frame = rows * columns * self.compute_cycles()
        words = self.number("IFMChannels") * pixels[0] * pixels[1]
        return _fewest(self.number("SIMD"), lambda lanes: words // lanes <= frame)

    def output_lanes(self) -> int:
        """The fewest with which a group leaves before the next one is there, or the most there
        are: they divide the outputs of every group."""
        pe = self.number("PE")
        most = math.gcd(pe, self.number("OFMChannels"))
        return _fewest(most, lambda lanes: pe // lanes <= self.group_steps())

    def searchers(self) -> int:
        """Searchers of codes bit by bit, where one or two have time enough; 0 for a pipeline."""
        pe, stages = self.number("PE"), search_stages(self.number("numSteps"))
        fits = (n for n in (1, 2) if n <= stages and pe * self._turn(n) <= self.group_steps())
        return next(fits, 0)

    def _turn(self, searchers: int) -> int:
        """Cycles from one word to the next that so many searchers need. Closer than 3, one might
        overtake another."""
        return max(3, -(-(search_stages(self.number("numSteps")) + 1) // searchers))

    def every(self) -> int:
        """Cycles from one word of sums to the next."""
        searchers = self.searchers()
        return self._turn(searchers) if searchers else 1

    def group_cycles(self) -> int:
        """Cycles in which the sums of a group leave."""
        return self.number("PE") // self.output_lanes() * self.every()

    def code_bits(self) -> int:
        """Bits of an input code."""
        return int(DataType[self.get_nodeattr("inputDataType")].bitwidth())

    def out_bits(self) -> int:
        """Bits of an output code."""
        return int(DataType[self.get_nodeattr("outputDataType")].bitwidth())

    def acc_bits(self) -> int:
        """Bits of a sum of +-code."""
        return int(DataType[self.get_nodeattr("accDataType")].bitwidth())

    def largest_sum(self) -> int:
        """Largest sum inside, where a weight of -1 adds what is missing to the largest code."""
        return self.inputs() * ((1 << self.code_bits()) - 1)

    def out_depth(self) -> int:
        """Words behind the thresholds: those under way when the output takes every word at once,
        and two groups."""
        dot = max((self.number("SIMD") - 1).bit_length(), 4) + 2
        words = self.number("PE") // self.output_lanes()
        stages = search_stages(self.number("numSteps"))
        search = 3 * stages + 7 if self.searchers() else 2 * stages + 5
        latency = BESIDE_DOT + dot + self.group_cycles() + search
        group = max(self.group_cycles(), self.group_steps())
        under_way = -(-latency * words // group) + 2 * words
        return max(LEAST_OUT_DEPTH, 1 << under_way.bit_length())

    def verify_node(self) -> None:
        """Check what the core cannot be.

        Raises:
            ValueError: lanes, geometry or datatypes that it does not have.
        """
        name = self.onnx_node.name
        require_divisor(name, self.number("IFMChannels"), "channels", "SIMD", self.number("SIMD"))
        for reason in self.refusals():
            raise ValueError(f"{name}: {reason}")

    def refusals(self) -> list[str]:
        """Say why there is no such core, one line each; empty where there is one."""
        found = self.geometry_refusals()
        if not 1 <= self.number("PE") <= self.number("OFMChannels"):
            found.append(
                f"found PE {self.number('PE')}, expected 1..{self.number('OFMChannels')} outputs"
            )
        codes = {f"UINT{bits}" for bits in range(1, MAX_CODE_BITS + 1)} | {"BINARY"}
        for datatype in ("inputDataType", "outputDataType"):
            value = str(self.get_nodeattr(datatype))
            if value not in codes:
                found.append(f"found {datatype} {value}, expected UINT1..UINT{MAX_CODE_BITS}")
        if self.number("numSteps") < 1:
            found.append(f"found numSteps {self.number('numSteps')}, expected at least 1")
        return found

    def line_ram(self) -> LineMemory:
        """The line memory."""
        width = self.number("SIMD") * self.code_bits()
        return LineMemory(1 << self.ring().address_bits, width, self.get_nodeattr("line_ram"))

    def rom(self) -> ReadOnlyMemory:
        """The weights."""
        width = self.number("SIMD") * self.number("PE")
        return ReadOnlyMemory(self.steps(), width, self.get_nodeattr("rom"))

    def out_ram(self) -> LineMemory:
        """The memory behind the thresholds."""
        return LineMemory(self.out_depth(), self.output_lanes() * self.out_bits(), "lut")

    def turn_memories(self) -> TurnMemories:
        """The tables, where codes are found in turns."""
        depth = self.number("OFMChannels") << search_stages(self.number("numSteps"))
        bits = self.largest_sum().bit_length()
        return TurnMemories(self.searchers(), depth, bits, self.out_bits())

    def search_groups(self) -> tuple[int, int, int, int]:
        """Channels of a lane, thresholds, bits of a sum and of a code, of a pipelined search."""
        groups = self.number("OFMChannels") // self.output_lanes()
        return groups, self.number("numSteps"), self.largest_sum().bit_length(), self.out_bits()

    def structures(self) -> dict[str, Structure]:
        """Part by part; see structure.py."""
        return {"": structure_of(self)}


def _fewest(limit: int, enough: Callable[[int], bool]) -> int:
    """The smallest divisor of ``limit`` that is enough, or ``limit``."""
    return next((n for n in range(1, limit) if limit % n == 0 and enough(n)), limit)


class KbitBlock_rtl(FusedRtl, KbitBlock):
    """KbitBlock with its constants in embedded memories."""

    module = "kbit_block"
    primitives = True
    sources = (
        "rtl/loop_counter.sv",
        "rtl/stream_register.sv",
        "rtl/line_memory.sv",
        "rtl/deep_memory.sv",
        "rtl/deep_rom.sv",
        "rtl/adder_tree.sv",
        *POPCOUNT_PARTS,
        "rtl/threshold_table.sv",
        "rtl/threshold_search.sv",
        "rtl/threshold_turns.sv",
        "rtl/block_place.sv",
        "rtl/block_reader.sv",
        "rtl/block_lines.sv",
        "rtl/binary_plane_heap.sv",
        "rtl/binary_dot_addsub.sv",
        "kernels/kbit_block/kbit_rom.sv",
        "kernels/kbit_block/kbit_writer.sv",
        "kernels/kbit_block/kbit_dot.sv",
        "kernels/kbit_block/kbit_results.sv",
        "kernels/kbit_block/kbit_block.sv",
    )

    def rtl_parameters(self) -> dict[str, int | str]:
        name = self.onnx_node.name
        return {
            **self.walk_parameters(),
            "InLanes": self.input_lanes(),
            "OutLanes": self.output_lanes(),
            "InBits": self.code_bits(),
            "OutBits": self.out_bits(),
            "AccBits": self.acc_bits(),
            "Steps": self.number("numSteps"),
            "Searchers": self.searchers(),
            "Every": self.every(),
            "TurnBlock": int(self.searchers() > 0 and self.turn_memories().block),
            "BlockTables": block_tables(search_memories(*self.search_groups())),
            "LineBlock": int(self.line_ram().block),
            "BlockRom": int(self.rom().block),
            "OutDepth": self.out_depth(),
            "WeightFile": f"{name}_weights.mem",
            "TablePrefix": f"{name}_table",
            "OffsetFile": f"{name}_offsets.mem",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The images of weights and thresholds, and what the tap takes from a sum.

        Raises:
            ValueError: no initializer, weights that are no bits, or a code outside its width.
        """
        name, outputs, count = self.onnx_node.name, self.number("OFMChannels"), "numSteps"
        pe, simd = self.number("PE"), self.number("SIMD")
        weights = self.constant(model, -4, (self.inputs(), outputs))
        thresholds = self.constant(model, -3, (outputs, self.number(count)))
        steps = self.constant(model, -2, (outputs, self.number(count)))
        base = self.constant(model, -1, (outputs,))
        if not 0 <= weights.min() <= weights.max() <= 1:
            raise ValueError(
                f"{name}: found weights {weights.min()}..{weights.max()}, expected 0 (for -1) and "
                "1 (for +1)"
            )
        offsets: IntArray = (1 - weights).sum(axis=0) * ((1 << self.code_bits()) - 1)
        tables = search_tables(thresholds + offsets[:, None], steps, base, 0, self.largest_sum())
        # Codes change at thresholds only; sums reach from -offsets on.
        lowest = -offsets[:, None]
        seen = np.concatenate([lowest, thresholds], axis=1)
        seen = seen.clip(lowest, lowest + self.largest_sum())
        codes = base[:, None] + ((seen[..., None] >= thresholds[:, None]) * steps[:, None]).sum(
            axis=-1
        )
        if codes.min() < 0 or codes.max() >> self.out_bits():
            raise ValueError(
                f"{name}: found codes {codes.min()}..{codes.max()}, expected those of "
                f"{self.get_nodeattr('outputDataType')}"
            )
        bits, lanes = self.acc_bits(), self.output_lanes()
        padded = np.pad(weights, ((0, 0), (0, self.folds() * pe - outputs)))
        return {
            f"{name}_weights.mem": hex_memory(weight_words(padded, pe, simd, 1), pe * simd),
            f"{name}_offsets.mem": hex_memory(
                pack_lanes(offsets.reshape(-1, lanes), bits), lanes * bits
            ),
            **self._images(tables),
        }

    def _images(self, tables: Sequence[IntArray]) -> dict[str, str]:
        """The memories of the search."""
        prefix, lanes = f"{self.onnx_node.name}_table", self.output_lanes()
        bits, out_bits = self.largest_sum().bit_length(), self.out_bits()
        if not self.searchers():
            return search_images(prefix, tables, lanes, bits, out_bits)
        thresholds, codes = (table.reshape(-1).tolist() for table in turn_tables(tables))
        return {
            f"{prefix}_thresholds.mem": hex_memory(thresholds, bits),
            f"{prefix}_codes.mem": hex_memory(codes, out_bits),
        }


OPS = (KbitBlock, KbitBlock_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN op PaBlock and its RTL backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from qonnx.core.datatype import DataType

from ....quant.grid import limits
from ..base import Stream, hex_memory, pack_lanes, require_divisor
from ..block import Block
from ..choice import ChosenKernel, implementation_attribute
from ..costs import Structure
from ..facts import FoldingRule
from ..fused import FusedRtl
from ..memory import LineMemory, ReadOnlyMemory, fifo_in_block_ram
from ..mvu import POPCOUNT_PARTS, weight_words
from ..pa_levels import LEVEL_BITS, RTL_PARTS, Levels
from ..places import PLACES
from ..skin import Bits, Parameters
from ..walk import Walk
from . import golden, images
from .pairs import Pairs
from .structure import structure_of

IMPLEMENTATIONS = ("coded", "planes", "packed")
"""The ways to compute a sum of products, numbered from 1 on by the RTL."""
SHORTCUTS = ("none", "own", "stream")
"""Where the shortcut comes from, numbered as the RTL numbers them."""
HAND_OVER = 4
"""Cycles from the last step of a group to the first sum that leaves, without the dot product's."""


class PaBlock(Block, ChosenKernel):
    """A layer of levels: inputs x[, shortcut], thresholds (C, n), steps (C, n), base (C,), weights
    (MW, MH), alpha (M+1,), beta (N+1,).

    ``alphaValues``, ``betaValues`` and ``directions`` repeat what estimates need of the constants;
    `read_constants` fills them in.
    """

    places = dict.fromkeys(("rom", "line_ram", "shortcut_ram"), PLACES[1:])
    golden = staticmethod(golden.run)
    attributes = {
        **Block.attributes,
        "numSteps": ("i", True, 0),
        "zero": ("i", True, 0),
        "shift": ("i", True, 0),
        "shortcut": ("s", True, "", set(SHORTCUTS)),
        "shortcutShift": ("i", True, 0),
        "codeDataType": ("s", True, ""),
        "weightDataType": ("s", True, ""),
        "sumDataType": ("s", True, ""),
        "implementation": implementation_attribute(IMPLEMENTATIONS, required=False),
        "shortcut_ram": ("s", False, "auto", set(PLACES)),
        "alphaValues": ("ints", False, []),
        "betaValues": ("ints", False, []),
        "directions": ("i", False, 1),
    }

    def bits(self, name: str) -> int:
        """Bits of the datatype in an attribute."""
        return int(DataType[self.get_nodeattr(name)].bitwidth())

    def folding_rule(self) -> FoldingRule:
        """Lanes of the outputs need not divide them: what is over does not leave."""
        return replace(super().folding_rule(), ragged=frozenset({"PE"}))

    def input_streams(self) -> list[Stream]:
        x = self._stream("inputDataType", "IFMDim", "IFMChannels")
        if self.get_nodeattr("shortcut") != "stream":
            return [x]
        return [x, self._stream("outputDataType", "OFMDim", "OFMChannels")]

    def output_streams(self) -> list[Stream]:
        return [self._stream("outputDataType", "OFMDim", "OFMChannels")]

    def _stream(self, datatype: str, dim: str, channels: str) -> Stream:
        return Stream(
            self.get_nodeattr(datatype), (1, *self.numbers(dim), self.number(channels)), 1
        )

    def taps(self) -> list[tuple[str, Stream]]:
        """The level codes and the sums: what the thresholds and the weights make."""
        body = self.body
        if body is None:
            return []
        constants = [body.input[i].name for i in (-6, -3)]
        return [
            (node.output[0], self.inner_stream(node.output[0], 1))
            for constant in constants
            for node in body.node
            if constant in node.input
        ]

    def read_constants(self, model: Any) -> None:
        """Copy the codebooks into the attributes, and whether every step goes up from code 0.

        Raises:
            ValueError: a codebook without 0 where borders and the zero piece need it.
        """
        for index, label, at_zero in ((-2, "alpha", self.number("zero")), (-1, "beta", 0)):
            found = model.get_initializer(self.onnx_node.input[index])
            values = self.constant(model, index, (0 if found is None else found.size,))
            low, high = limits(LEVEL_BITS)
            inside = low <= values.min() and values.max() <= high
            if not inside or not 0 <= at_zero < values.size or values[at_zero] != 0:
                raise ValueError(
                    f"{self.onnx_node.name}: found {label} {values.tolist()}, expected levels "
                    f"{low}..{high} with 0 at index {at_zero}"
                )
            self.set_nodeattr(f"{label}Values", [int(v) for v in values])
        channels = self.number("IFMChannels")
        steps = self.constant(model, -5, (channels, self.number("numSteps")))
        base = self.constant(model, -4, (channels,))
        self.set_nodeattr("directions", int(bool((steps < 0).any() or base.any())))

    def levels(self) -> Levels:
        """The codebooks and the bits of their codes.

        Raises:
            ValueError: `read_constants` has not seen the model yet.
        """
        alpha, beta = (
            np.array(self.get_nodeattr(f"{label}Values"), dtype=np.int64)
            for label in ("alpha", "beta")
        )
        if not alpha.size or not beta.size:
            raise ValueError(
                f"{self.onnx_node.name}: found no codebooks in its attributes, expected those of "
                "the initializers; specialise and fuse the graph first"
            )
        bits = self.bits("codeDataType"), self.bits("weightDataType")
        return Levels(alpha, beta, self.number("zero"), *bits)

    def pairs(self) -> Pairs | None:
        """How two outputs share a DSP block, None where their products do not fit."""
        return Pairs.of(self.levels(), self.number("SIMD"))

    def group_steps(self) -> int:
        """Steps of a group."""
        return self.inputs() // self.number("SIMD")

    def dot_cycles(self, way: str) -> int:
        """Cycles of the dot product with an implementation."""
        pairs = self.pairs()
        if way == "packed" and pairs is not None:
            return pairs.cycles
        return max((self.number("SIMD") - 1).bit_length(), 2) + 3

    def compute_cycles(self) -> int:
        return self.compute_cycles_of(self.resolved())

    def compute_cycles_of(self, way: str) -> int:
        """Cycles of an output pixel: its steps and an idle one, or those of its sums."""
        words = self.number("PE")
        if self.get_nodeattr("shortcut") == "stream":
            words = 2 * words - 1
        group = HAND_OVER + self.dot_cycles(way) + words
        return max(self.steps() + 1, self.folds() * group)

    def sparing(self) -> bool:
        return bool(self.get_nodeattr("shortcut") == "own")

    def verify_node(self) -> None:
        """Check what the core cannot be.

        Raises:
            ValueError: lanes, geometry, datatypes or widths that it does not have.
        """
        name, outputs, pe = self.onnx_node.name, self.number("OFMChannels"), self.number("PE")
        require_divisor(name, self.number("IFMChannels"), "channels", "SIMD", self.number("SIMD"))
        if not 1 <= pe <= outputs:
            raise ValueError(f"{name}: found PE={pe}, expected 1..{outputs}, its outputs")
        for reason in self.refusals():
            raise ValueError(f"{name}: {reason}")

    def refusals(self) -> list[str]:
        """Say why there is no such core, one line each; empty where there is one."""
        found = self.geometry_refusals()
        dim, out = self.numbers("IFMDim"), self.numbers("OFMDim")
        for attribute, prefix, least, most in (
            ("inputDataType", "INT", 2, 16),
            ("outputDataType", "INT", 2, 16),
            ("codeDataType", "UINT", 1, 8),
            ("weightDataType", "INT", 1, 8),
            ("sumDataType", "INT", 2, 31),
        ):
            value = str(self.get_nodeattr(attribute))
            bits = value.removeprefix(prefix)
            if not (value.startswith(prefix) and bits.isdigit() and least <= int(bits) <= most):
                expected_type = f"{prefix}{least}..{prefix}{most}"
                found.append(f"found {attribute} {value}, expected {expected_type}")
        own = self.get_nodeattr("shortcut") == "own"
        same = (*dim, self.number("IFMChannels"), self.get_nodeattr("inputDataType"))
        if own and same != (*out, self.number("OFMChannels"), self.get_nodeattr("outputDataType")):
            found.append(f"found its own input {same} as the shortcut, expected the output's shape")
        if not found and self.number("shift") >= self.bits("sumDataType"):
            found.append(
                f"found shift {self.number('shift')} with sums of {self.bits('sumDataType')} bits, "
                "expected less"
            )
        return found

    def walk(self, compute: int | None = None) -> Walk:
        """As of every block; a pixel of one word keeps the next one waiting for a cycle."""
        walk = super().walk(compute)
        return walk._replace(take=max(2, walk.take))

    def line_ram(self, compute: int | None = None) -> LineMemory:
        """The line memory; see `walk`."""
        depth = 1 << self.ring(compute).address_bits
        width = self.number("SIMD") * self.bits("codeDataType")
        return self._memory(depth, width, "line_ram")

    def shortcut_ram(self, compute: int | None = None) -> LineMemory:
        """The shortcut's ring: from the word of a sum to the last that may be taken; see `walk`."""
        pixels = self.walk(compute).need + self.ring(compute).slack + 2
        depth = pixels * self.number("IFMChannels") + self.number("PE") + 2
        return self._memory(depth, self.bits("outputDataType"), "shortcut_ram")

    def _memory(self, depth: int, width: int, name: str) -> LineMemory:
        """A memory where the attribute says; left to itself, as that of a FIFO."""
        place = str(self.get_nodeattr(name))
        if place == "auto":
            place = "block" if fifo_in_block_ram(depth, width) else "lut"
        return LineMemory(depth, width, place)

    def rom(self) -> ReadOnlyMemory:
        """The weights."""
        width = self.number("PE") * self.number("SIMD") * self.bits("weightDataType")
        return ReadOnlyMemory(self.steps(), width, self.get_nodeattr("rom"))

    def level_bits(self) -> int:
        """Bits of a channel's thresholds."""
        steps, bits = self.number("numSteps"), self.bits("inputDataType")
        directions = steps + self.bits("codeDataType") if self.number("directions") else 0
        return steps * (bits + 1) + directions

    def structures(self) -> dict[str, Structure]:
        """Each implementation that can compute the node; see structure.py."""
        ways = ["coded", *(["planes"] if self.levels().is_linear() else [])]
        ways += ["packed"] if self.pairs() is not None else []
        return {way: structure_of(self, way) for way in ways}

    def refusal(self, wanted: str) -> str:
        """Products that do not fit a DSP block in pairs, or codes that are not their levels."""
        levels = self.levels()
        return (
            f"found implementation {wanted} with levels {levels.alpha.tolist()} and "
            f"{levels.beta.tolist()}, expected levels equal to their codes for planes, and two "
            f"products of {levels.product_bits()} bits in a DSP block for packed; use coded or auto"
        )


class PaBlock_rtl(FusedRtl, PaBlock):
    """PaBlock with its constants in embedded memories."""

    module = "pa_block"
    primitives = True
    sources = (
        "rtl/loop_counter.sv",
        "rtl/line_memory.sv",
        "rtl/deep_memory.sv",
        "rtl/deep_rom.sv",
        "rtl/adder_tree.sv",
        "rtl/saturate.sv",
        *POPCOUNT_PARTS,
        *RTL_PARTS,
        "rtl/block_place.sv",
        "rtl/block_reader.sv",
        "rtl/block_lines.sv",
        "rtl/cascade_mac.sv",
        "kernels/pa_block/pa_writer.sv",
        "kernels/pa_block/pa_weights.sv",
        "kernels/pa_block/pa_table.sv",
        "kernels/pa_block/pa_pairs.sv",
        "kernels/pa_block/pa_sums.sv",
        "kernels/pa_block/pa_results.sv",
        "kernels/pa_block/pa_block.sv",
    )
    in_ports = ("in", "shortcut")

    def rtl_parameters(self) -> Parameters:
        name, levels = self.onnx_node.name, self.levels()
        alpha, beta, pairs = levels.alpha, levels.beta, self.pairs()
        return {
            **self.walk_parameters(),
            "InBits": self.bits("inputDataType"),
            "OutBits": self.bits("outputDataType"),
            "Steps": self.number("numSteps"),
            "Directions": self.number("directions"),
            "CodeBits": levels.code_bits,
            "WeightBits": levels.weight_bits,
            "M": alpha.size - 1,
            "N": beta.size - 1,
            "Zero": levels.zero,
            "Alpha": Bits(pack_lanes([alpha], LEVEL_BITS)[0], LEVEL_BITS * alpha.size),
            "Beta": Bits(pack_lanes([beta], LEVEL_BITS)[0], LEVEL_BITS * beta.size),
            "ProductBits": levels.product_bits(),
            "SumBits": self.bits("sumDataType"),
            "Implementation": IMPLEMENTATIONS.index(self.resolved()) + 1,
            "Field": pairs.field if pairs else 1,
            "Chain": pairs.chain if pairs else 1,
            "Shift": self.number("shift"),
            "Shortcut": SHORTCUTS.index(self.get_nodeattr("shortcut")),
            "ShortcutShift": self.number("shortcutShift"),
            "LineBlock": int(self.line_ram().block),
            "ShortcutDepth": self.shortcut_ram().depth,
            "ShortcutBlock": int(self.shortcut_ram().block),
            "BlockRom": int(self.rom().block),
            "LevelFile": f"{name}_levels.mem",
            "WeightFile": f"{name}_weights.mem",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The images of levels and weights.

        Raises:
            ValueError: a constant of another shape, or a value that its type does not hold.
        """
        self.read_constants(model)
        name, outputs, pe = self.onnx_node.name, self.number("OFMChannels"), self.number("PE")
        matrix = (self.number("IFMChannels"), self.number("numSteps"))
        thresholds, steps = (self.constant(model, i, matrix) for i in (-6, -5))
        base = self.constant(model, -4, matrix[:1])
        weights = self.constant(model, -3, (self.inputs(), outputs))
        levels, code_bits = self.levels(), self.bits("codeDataType")
        found = images.refusals(
            levels, thresholds, steps, base, weights, self.bits("inputDataType"),
            self.bits("sumDataType"),
        )  # fmt: skip
        if found:
            raise ValueError(f"{name}: {found[0]}")
        mask = code_bits if self.number("directions") else 0
        full = np.pad(weights, ((0, 0), (0, self.folds() * pe - outputs)))
        return {
            f"{name}_levels.mem": images.level_image(
                thresholds, steps, base, self.bits("inputDataType"), mask
            ),
            f"{name}_weights.mem": hex_memory(
                weight_words(full, pe, self.number("SIMD"), levels.weight_bits),
                self.rom().width,
            ),
        }


OPS = (PaBlock, PaBlock_rtl)

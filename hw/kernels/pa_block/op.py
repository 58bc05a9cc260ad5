# SPDX-License-Identifier: Apache-2.0
"""FINN op PaBlock and its RTL backend."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from qonnx.core.datatype import DataType

from ....quant.grid import IntArray, accumulator_bounds, limits
from ..base import Stream, hex_memory, pack_lanes, require_divisor
from ..choice import ChosenKernel, implementation_attribute
from ..facts import FoldingRule, Geometry
from ..fused import Fused, FusedRtl
from ..memory import bram18_blocks, least_rom_cost
from ..mvu import POPCOUNT_PARTS, weight_words
from ..pa_levels import LEVEL_BITS, RTL_PARTS, Levels
from ..places import PLACES, Ram, lut_rom
from ..skin import Bits, Parameters
from ..walk import Ring, Walk, ring_of
from . import golden
from .pairs import Pairs

IMPLEMENTATIONS = ("coded", "planes", "packed")
"""The ways to compute a sum of products, numbered from 1 on by the RTL."""
SHORTCUTS = ("none", "own", "stream")
"""Where the shortcut comes from, numbered as the RTL numbers them."""
HAND_OVER = 4
"""Cycles from the last step of a group to the first sum that leaves, without the dot product's."""
UNEVEN = 3
"""Lanes of the outputs may divide so many times their number: the last group is then not full."""


class PaBlock(Fused, ChosenKernel):
    """A layer of levels: inputs x[, shortcut], thresholds (C, n), steps (C, n), base (C,), weights
    (MW, MH), alpha (M+1,), beta (N+1,).

    ``alphaValues``, ``betaValues`` and ``directions`` repeat what estimates need of the constants;
    `read_constants` fills them in.
    """

    registers_output = True
    registers_ready = True
    reads_ahead = True
    golden = staticmethod(golden.run)
    attributes = {
        "IFMChannels": ("i", True, 0),
        "OFMChannels": ("i", True, 0),
        "SIMD": ("i", True, 0),
        "PE": ("i", True, 0),
        "IFMDim": ("ints", True, []),
        "OFMDim": ("ints", True, []),
        "KernelDim": ("ints", True, []),
        "Stride": ("ints", True, []),
        "Padding": ("ints", True, []),
        "numSteps": ("i", True, 0),
        "zero": ("i", True, 0),
        "shift": ("i", True, 0),
        "shortcut": ("s", True, "", set(SHORTCUTS)),
        "shortcutShift": ("i", True, 0),
        "inputDataType": ("s", True, ""),
        "codeDataType": ("s", True, ""),
        "weightDataType": ("s", True, ""),
        "sumDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
        "implementation": implementation_attribute(IMPLEMENTATIONS, required=False),
        "rom": ("s", False, "auto", set(PLACES)),
        "line_ram": ("s", False, "auto", set(PLACES)),
        "shortcut_ram": ("s", False, "auto", set(PLACES)),
        "alphaValues": ("ints", False, []),
        "betaValues": ("ints", False, []),
        "directions": ("i", False, 1),
    }

    def numbers(self, name: str) -> tuple[int, ...]:
        """An attribute of several integers."""
        return tuple(int(n) for n in self.get_nodeattr(name))

    def number(self, name: str) -> int:
        """An attribute that is one integer."""
        return int(self.get_nodeattr(name))

    def bits(self, name: str) -> int:
        """Bits of the datatype in an attribute."""
        return int(DataType[self.get_nodeattr(name)].bitwidth())

    def folding_rule(self) -> FoldingRule:
        """Lanes of the outputs need not divide them: what is over does not leave."""
        lanes = {
            "SIMD": self.number("IFMChannels"),
            "PE": UNEVEN * self.number("OFMChannels"),
        }
        return replace(super().folding_rule(), lanes=lanes)

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

    def geometry(self) -> Geometry:
        """A window needs its last pixel, or that of the picture where it ends in the border."""
        (height, width), (rows, columns) = self.numbers("IFMDim"), self.numbers("OFMDim")
        (kernel_y, kernel_x), (stride_y, stride_x) = (
            self.numbers("KernelDim"),
            self.numbers("Stride"),
        )
        top, left, _, _ = self.numbers("Padding")
        return Geometry(
            np.minimum(np.arange(rows) * stride_y - top + kernel_y, height) - 1,
            np.minimum(np.arange(columns) * stride_x - left + kernel_x, width) - 1,
            width,
        )

    def last_needed(self, pixels_in: int, pixels_out: int) -> IntArray:
        """By its own geometry, which is that of the nodes it stands for."""
        return self.geometry().last_needed()

    def read_constants(self, model: Any) -> None:
        """Copy the codebooks into the attributes, and whether every step goes up from code 0.

        Raises:
            ValueError: a codebook without 0 where borders and the zero piece need it.
        """
        for index, label, at_zero in ((-2, "alpha", self.number("zero")), (-1, "beta", 0)):
            values = self._constant(model, index)
            low, high = limits(LEVEL_BITS)
            inside = low <= values.min() and values.max() <= high
            if not inside or not 0 <= at_zero < values.size or values[at_zero] != 0:
                raise ValueError(
                    f"{self.onnx_node.name}: found {label} {values.tolist()}, expected levels "
                    f"{low}..{high} with 0 at index {at_zero}"
                )
            self.set_nodeattr(f"{label}Values", [int(v) for v in values])
        steps, base = self._constant(model, -5), self._constant(model, -4)
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

    def inputs(self) -> int:
        """Inputs of a sum: MW of the matrix product."""
        return int(np.prod(self.numbers("KernelDim"))) * self.number("IFMChannels")

    def folds(self) -> int:
        """Groups of outputs."""
        return -(-self.number("OFMChannels") // self.number("PE"))

    def group_steps(self) -> int:
        """Steps of a group."""
        return self.inputs() // self.number("SIMD")

    def dot_cycles(self) -> int:
        """Cycles of the dot product."""
        pairs = self.pairs()
        if self.resolved() == "packed" and pairs is not None:
            return pairs.cycles
        return max((self.number("SIMD") - 1).bit_length(), 2) + 3

    def compute_cycles(self) -> int:
        """Cycles of an output pixel: its steps and an idle one, or those of its sums."""
        words = self.number("PE") * (2 if self.get_nodeattr("shortcut") == "stream" else 1)
        group = HAND_OVER + self.dot_cycles() + words
        return max(self.folds() * self.group_steps() + 1, self.folds() * group)

    def walk(self) -> Walk:
        """The geometry and the cycles of both ends."""
        (height, width), (rows, columns) = self.numbers("IFMDim"), self.numbers("OFMDim")
        kernel_y, kernel_x = self.numbers("KernelDim")
        stride_y, stride_x = self.numbers("Stride")
        top, left, _, _ = self.numbers("Padding")
        channels = self.number("IFMChannels")
        return Walk(
            height, width, rows, columns, kernel_y, kernel_x, stride_y, stride_x, top, left,
            channels // self.number("SIMD"), channels, self.compute_cycles(),
        )  # fmt: skip

    def ring(self) -> Ring:
        """The line memory and the pace that it allows."""
        return ring_of(self.walk(), self.get_nodeattr("shortcut") == "own")

    def cycles(self) -> int:
        """The slower of reading and computing, or what the line memory allows."""
        return self.ring().cycles

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
        found = []
        top, left, bottom, right = self.numbers("Padding")
        kernel, stride, dim = (self.numbers(n) for n in ("KernelDim", "Stride", "IFMDim"))
        expected = tuple(
            (size + border - k) // s + 1
            for size, border, k, s in zip(
                dim, (top + bottom, left + right), kernel, stride, strict=True
            )
        )
        out = self.numbers("OFMDim")
        borders = zip((top, bottom, left, right), (*[kernel[0]] * 2, *[kernel[1]] * 2), strict=True)
        if out != expected or min(expected) < 1 or any(b >= k for b, k in borders):
            found.append(
                f"found OFMDim {out} of {dim}, kernel {kernel}, stride {stride}, padding "
                f"{(top, left, bottom, right)}, expected {expected} of at least 1 and borders "
                "narrower than the kernel"
            )
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

    def line_ram(self) -> Ram:
        """The line memory."""
        depth = 1 << self.ring().address_bits
        width = self.number("SIMD") * self.bits("codeDataType")
        return Ram(depth, width, self.get_nodeattr("line_ram"))

    def shortcut_ram(self) -> Ram:
        """The shortcut's ring: from the word of a sum to the last that may be taken."""
        pixels = self.walk().need + self.ring().slack + 2
        depth = pixels * self.number("IFMChannels") + self.number("PE") + 2
        return Ram(depth, self.bits("outputDataType"), self.get_nodeattr("shortcut_ram"))

    def rom_block(self) -> bool:
        """Whether the weights lie in block RAM."""
        place = self.get_nodeattr("rom")
        if place == "auto":
            return least_rom_cost(*self.rom_shape())[1] > 0
        return bool(place == "block")

    def rom_shape(self) -> tuple[int, int]:
        """Bits and words of the weights."""
        width = self.number("PE") * self.number("SIMD") * self.bits("weightDataType")
        return width, self.folds() * self.group_steps()

    def usage(self) -> dict[str, tuple[int, int]]:
        """Estimated LUTs and BRAM18 with each implementation that can compute the node."""
        simd, pe, levels = self.number("SIMD"), self.number("PE"), self.levels()
        dots = levels.dot_luts(simd, pe)
        dots.pop("literal")
        pairs = self.pairs()
        if pairs is not None:
            dots["packed"] = pairs.luts(pe)
        sum_bits, steps = self.bits("sumDataType") + 1, self.number("numSteps")
        kept = max(1, sum_bits - self.number("shift"))
        code, x_bits = levels.code_bits, self.bits("inputDataType")
        level_bits = steps * (x_bits + 1) + (steps + code if self.number("directions") else 0)
        writer = (
            lut_rom(level_bits, self.number("IFMChannels")) + steps * (x_bits // 2 + 1) + 3 * code
        )
        shortcut = 0 if self.get_nodeattr("shortcut") == "none" else kept + 10
        loops = 60 if self.number("IFMChannels") and len(set(self.numbers("KernelDim"))) else 35
        rest = writer + pe * (sum_bits + (kept if pe > 1 else 0)) + shortcut + loops + 50
        # The ring's length follows from the cycles, which do not depend on the way but for a few.
        rom_luts = 0 if self.rom_block() else lut_rom(*self.rom_shape())
        blocks = bram18_blocks(self.rom_shape()[1], self.rom_shape()[0]) if self.rom_block() else 0
        return {name: (math.ceil(luts) + rest + rom_luts, blocks) for name, luts in dots.items()}

    def refusal(self, wanted: str) -> str:
        """Products that do not fit a DSP block in pairs, or codes that are not their levels."""
        levels = self.levels()
        return (
            f"found implementation {wanted} with levels {levels.alpha.tolist()} and "
            f"{levels.beta.tolist()}, expected levels equal to their codes for planes, and two "
            f"products of {levels.product_bits()} bits in a DSP block for packed; use coded or auto"
        )

    def parts(self) -> list[Ram]:
        """Its memories but for the weights."""
        own = [self.shortcut_ram()] if self.get_nodeattr("shortcut") == "own" else []
        return [self.line_ram(), *own]

    def lut_estimation(self, fpgapart: str) -> int:
        """The way in use and the memories."""
        return super().lut_estimation(fpgapart) + sum(part.luts for part in self.parts())

    def bram_estimation(self, fpgapart: str) -> int:
        """The weights' and the memories'."""
        return super().bram_estimation(fpgapart) + sum(part.brams for part in self.parts())

    def dsp_estimation(self, fpgapart: str) -> int:
        """One for each code of a word and two outputs."""
        if self.resolved() != "packed":
            return 0
        return self.number("SIMD") * -(-self.number("PE") // 2)

    def _constant(self, model: Any, index: int) -> IntArray:
        tensor = self.onnx_node.input[index]
        value = model.get_initializer(tensor)
        if value is None:
            raise ValueError(
                f"{self.onnx_node.name}: {tensor} has no initializer; it lies in a memory, so it "
                "must be constant"
            )
        rounded: IntArray = np.rint(value).astype(np.int64)
        return rounded


class PaBlock_rtl(FusedRtl, PaBlock):
    """PaBlock with its constants in embedded memories."""

    module = "pa_block"
    primitives = True
    sources = (
        "rtl/loop_counter.sv",
        "rtl/line_memory.sv",
        "rtl/adder_tree.sv",
        "rtl/saturate.sv",
        *POPCOUNT_PARTS,
        *RTL_PARTS,
        "rtl/block_place.sv",
        "rtl/block_reader.sv",
        "rtl/block_lines.sv",
        "kernels/image_conv/cascade_mac.sv",
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
        name, walk, ring, levels = self.onnx_node.name, self.walk(), self.ring(), self.levels()
        alpha, beta, pairs = levels.alpha, levels.beta, self.pairs()
        return {
            "Channels": self.number("IFMChannels"),
            "Outputs": self.number("OFMChannels"),
            "Height": walk.height,
            "Width": walk.width,
            "OutHeight": walk.out_height,
            "OutWidth": walk.out_width,
            "KernelY": walk.kernel_y,
            "KernelX": walk.kernel_x,
            "StrideY": walk.stride_y,
            "StrideX": walk.stride_x,
            "PadTop": walk.pad_top,
            "PadLeft": walk.pad_left,
            "Simd": self.number("SIMD"),
            "Pe": self.number("PE"),
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
            "LineAddress": ring.address_bits,
            "Slack": ring.slack,
            "LineBlock": int(self.line_ram().block),
            "ShortcutDepth": self.shortcut_ram().depth,
            "ShortcutBlock": int(self.shortcut_ram().block),
            "BlockRom": int(self.rom_block()),
            "LevelFile": f"{name}_levels.mem",
            "WeightFile": f"{name}_weights.mem",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The images of levels and weights.

        Raises:
            ValueError: a constant of another shape, or a value that its type does not hold.
        """
        name = self.onnx_node.name
        return {
            f"{name}_levels.mem": self._level_memory(model),
            f"{name}_weights.mem": self._weight_memory(model),
        }

    def _level_memory(self, model: Any) -> str:
        channels, count = self.number("IFMChannels"), self.number("numSteps")
        thresholds, steps, base = (self._constant(model, i) for i in (-6, -5, -4))
        self._check(thresholds.shape == steps.shape == (channels, count), "thresholds", thresholds)
        self._check(base.shape == (channels,), "base", base)
        code, x_bits = self.bits("codeDataType"), self.bits("inputDataType")
        low, high = limits(x_bits)
        seen = np.clip(np.concatenate([thresholds.T, np.full((1, channels), low)]), low, high)
        codes = golden.codes(seen, thresholds, steps, base)
        most = self.levels().beta.size - 1
        self._check(codes.min() >= 0 and codes.max() <= most, f"codes outside 0..{most}", codes)
        # What every input reaches, or none does, is as good as the nearest such threshold.
        words = pack_lanes(np.clip(thresholds, low, high + 1), x_bits + 1)
        width = count * (x_bits + 1)
        if self.number("directions"):
            # A step down where x >= t is a step up where x < t, from a base one lower.
            down = steps < 0
            start = base - down.sum(axis=1)
            marks = zip(pack_lanes(down, 1), (start % (1 << code)).tolist(), strict=True)
            words = [
                word | (bits | at << count) << width
                for word, (bits, at) in zip(words, marks, strict=True)
            ]
            width += count + code
        return hex_memory(words, width)

    def _weight_memory(self, model: Any) -> str:
        outputs, pe, simd = self.number("OFMChannels"), self.number("PE"), self.number("SIMD")
        levels, weights = self.levels(), self._constant(model, -3)
        self._check(weights.shape == (self.inputs(), outputs), "weights", weights)
        low, high = -levels.zero, levels.alpha.size - 1 - levels.zero
        inside = low <= weights.min() and weights.max() <= high
        self._check(inside, f"weight codes outside {low}..{high}", weights)
        least, most = accumulator_bounds(
            levels.alpha[weights + levels.zero], int(levels.beta.min()), int(levels.beta.max())
        )
        first, last = limits(self.bits("sumDataType"))
        reached = np.array([least.min(), most.max()])
        self._check(
            first <= reached[0] and reached[1] <= last, f"sums outside {first}..{last}", reached
        )
        full = np.pad(weights, ((0, 0), (0, self.folds() * pe - outputs)))
        width = pe * simd * levels.weight_bits
        return hex_memory(weight_words(full, pe, simd, levels.weight_bits), width)

    def _check(self, holds: bool, label: str, found: IntArray) -> None:
        if not holds:
            raise ValueError(
                f"{self.onnx_node.name}: found {label} of shape {found.shape} from "
                f"{found.min()} to {found.max()}, expected what its attributes say"
            )


OPS = (PaBlock, PaBlock_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN op BinaryBlock and its RTL backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....quant.grid import EpilogueFormat, limits
from ..base import Stream, hex_memory, part_memories, require_divisor
from ..block import Block
from ..block_parts import dot_levels
from ..costs import Structure
from ..fused import FusedRtl
from ..memory import LineMemory, OutsideRom
from ..mvu import weight_words
from ..places import PLACES, Rom, rom_of
from ..serial_epilogue import WORD_BITS, WORDS, SerialEpilogue, bias_bits
from . import golden
from .structure import structure_of

MUL_BITS = 10
"""Bits of the batch-norm multiplier m."""
SLOPE_BITS = 8
"""Bits of the RPReLU slope."""
DOT_CYCLES = 5
"""Cycles from a step to the counts beside the epilogue, without those that add chunks."""
SHORTCUTS = ("none", "own", "stream")
"""Where the shortcut comes from, numbered as the RTL numbers them."""


class BinaryBlock(Block):
    """A 1-bit layer: inputs x[, shortcut], thresholds (C, 1), weights (MW, MH), params (5, MH)."""

    places = dict.fromkeys(("rom", "line_ram", "shortcut_ram"), PLACES[1:])
    golden = staticmethod(golden.run)
    attributes = {
        **Block.attributes,
        "shortcut": ("s", True, "", set(SHORTCUTS)),
        "shortcutShift": ("i", True, 0),
        "preShift": ("i", True, 0),
        "slopeShift": ("i", True, 0),
        "outShift": ("i", True, 0),
        "preBits": ("i", True, 0),
        "shortcut_ram": ("s", False, "auto", set(PLACES)),
        "shared_rom": ("s", False, ""),
        "rom_first": ("ints", False, []),
        "rom_space": ("ints", False, []),
    }

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
        """The bits of the thresholds, and the accumulators: what the first two constants make."""
        body = self.body
        if body is None:
            return []
        constants = [v.name for v in body.input[-3:-1]]
        lanes = (1, self.number("PE"))
        return [
            (node.output[0], self.inner_stream(node.output[0], count))
            for constant, count in zip(constants, lanes, strict=True)
            for node in body.node
            if constant in node.input
        ]

    def epilogue(self) -> SerialEpilogue:
        """The epilogue: it is given 2 * count, and finds what is missing to the sum in b.

        It has all registers of its DSP: a clock of the whole network is worth more than 3 cycles.
        """
        fmt = EpilogueFormat(
            acc_shift=0,
            shortcut_shift=self.number("shortcutShift"),
            pre_shift=self.number("preShift"),
            slope_shift=self.number("slopeShift"),
            out_shift=self.number("outShift"),
            pre_bits=self.number("preBits"),
            out_bits=int(self.get_output_datatype().bitwidth()),
        )
        # Twice a count and a sign.
        acc_bits = self.inputs().bit_length() + 2
        offset = self.inputs() << (MUL_BITS - 1)
        return SerialEpilogue(
            fmt,
            acc_bits,
            self.get_nodeattr("shortcut") != "none",
            bias_bits(self.bias_limit() + offset, fmt.pre_shift),
            MUL_BITS,
            SLOPE_BITS,
        )

    def compute_cycles(self) -> int:
        """Cycles of an output pixel: its steps and an idle one, or the epilogue's."""
        pe, levels = self.number("PE"), dot_levels(self.number("SIMD"))
        epilogue = self.epilogue().cycles
        group = (pe - 1) * epilogue + max(epilogue, DOT_CYCLES + levels + 1)
        return max(self.steps() + 1, self.number("OFMChannels") // pe * group)

    def sparing(self) -> bool:
        return bool(self.get_nodeattr("shortcut") == "own")

    def verify_node(self) -> None:
        """Check what the core cannot be.

        Raises:
            ValueError: lanes, geometry, datatypes or widths that it does not have.
        """
        name = self.onnx_node.name
        require_divisor(name, self.number("IFMChannels"), "channels", "SIMD", self.number("SIMD"))
        require_divisor(name, self.number("OFMChannels"), "outputs", "PE", self.number("PE"))
        for reason in self.refusals():
            raise ValueError(f"{name}: {reason}")

    def refusals(self) -> list[str]:
        """Say why there is no such core, one line each; empty where there is one."""
        found = self.geometry_refusals()
        dim, out = self.numbers("IFMDim"), self.numbers("OFMDim")
        for datatype in ("inputDataType", "outputDataType"):
            value = str(self.get_nodeattr(datatype))
            bits = value.removeprefix("INT")
            if not (value.startswith("INT") and bits.isdigit() and 2 <= int(bits) <= 16):
                found.append(f"found {datatype} {value}, expected INT2..INT16")
        own = self.get_nodeattr("shortcut") == "own"
        same = (*dim, self.number("IFMChannels"), self.get_nodeattr("inputDataType"))
        if own and same != (*out, self.number("OFMChannels"), self.get_nodeattr("outputDataType")):
            found.append(f"found its own input {same} as the shortcut, expected the output's shape")
        wide = [] if found else self.epilogue().refusals()
        if wide:
            found.append(f"found {', '.join(wide)}, expected what fits one DSP block")
        return found

    def bias_limit(self) -> int:
        """Largest |b| that matters: beyond it the pre-activation saturates whatever comes in."""
        product = self.inputs() << (MUL_BITS - 1)
        shortcut = 0
        if self.get_nodeattr("shortcut") != "none":
            bits = self.output_streams()[0].dtype.bitwidth()
            shortcut = 1 << (int(bits) - 1 + self.number("shortcutShift"))
        shift = self.number("preShift")
        return product + shortcut + (1 << (self.number("preBits") - 1 + shift)) + (1 << shift)

    def line_ram(self) -> LineMemory:
        """The line memory."""
        depth = 1 << self.ring().address_bits
        return LineMemory(depth, self.number("SIMD"), self.get_nodeattr("line_ram"))

    def shortcut_ram(self) -> LineMemory:
        """The shortcut's ring: from the epilogue's word to the last that may be taken."""
        pixels = self.walk().need + self.ring().slack + 2
        depth = pixels * self.number("IFMChannels") + self.number("PE") + 2
        bits = int(self.output_streams()[0].dtype.bitwidth())
        return LineMemory(depth, bits, self.get_nodeattr("shortcut_ram"))

    def rom(self) -> Rom:
        """Weights and parameters."""
        if self.get_nodeattr("shared_rom"):
            return Rom(shared=False, block=True, luts=0, brams=0, outside=True)
        weights, params = self.outside_roms()
        return rom_of(weights.width, weights.depth, params.depth, self.get_nodeattr("rom"))

    def outside_roms(self) -> tuple[OutsideRom, ...]:
        """Weights and parameters."""
        width = self.number("SIMD") * self.number("PE")
        return (
            OutsideRom("weight", self.steps(), width),
            OutsideRom("param", WORDS * self.number("OFMChannels"), WORD_BITS, on_demand=True),
        )

    def structures(self) -> dict[str, Structure]:
        """Part by part; see structure.py."""
        return {"": structure_of(self)}


class BinaryBlock_rtl(FusedRtl, BinaryBlock):
    """BinaryBlock with its constants in embedded memories."""

    module = "binary_block"
    primitives = True
    sources = (
        "rtl/loop_counter.sv",
        "rtl/line_memory.sv",
        "rtl/deep_memory.sv",
        "rtl/deep_rom.sv",
        "rtl/adder_tree.sv",
        "rtl/saturate.sv",
        "rtl/dsp_mac.sv",
        "kernels/epilogue/epilogue_serial.sv",
        "rtl/agree_count.sv",
        "kernels/binary_block/block_writer.sv",
        "rtl/block_place.sv",
        "rtl/block_reader.sv",
        "rtl/block_lines.sv",
        "kernels/binary_block/block_rom.sv",
        "rtl/block_dot.sv",
        "kernels/binary_block/block_results.sv",
        "kernels/binary_block/binary_block.sv",
    )
    in_ports = ("in", "shortcut")

    def rtl_parameters(self) -> dict[str, int | str]:
        name = self.onnx_node.name
        bits = int(self.output_streams()[0].dtype.bitwidth())
        rom = self.rom()
        parted = len(rom.parts) > 1
        epilogue = self.epilogue()
        return {
            **self.walk_parameters(),
            "InBits": self.input_streams()[0].dtype.bitwidth(),
            "OutBits": bits,
            "Shortcut": SHORTCUTS.index(self.get_nodeattr("shortcut")),
            "ShortcutBits": bits,
            "ShortcutShift": self.number("shortcutShift"),
            "PreShift": self.number("preShift"),
            "PreBits": self.number("preBits"),
            "SlopeShift": self.number("slopeShift"),
            "OutShift": self.number("outShift"),
            "BiasWidth": epilogue.bias_bits,
            "LineBlock": int(self.line_ram().block),
            "ShortcutDepth": self.shortcut_ram().depth,
            "ShortcutBlock": int(self.shortcut_ram().block),
            "SharedRom": int(rom.shared),
            "RomParts": max(1, len(rom.parts)),
            "BlockRom": int(rom.block),
            **self._outside_parameters(),
            "ThresholdFile": f"{name}_thresholds.mem",
            "WeightFile": f"{name}_weights" + ("" if parted else ".mem"),
            "ParamFile": "" if parted else f"{name}_{'weights' if rom.shared else 'params'}.mem",
        }

    def _outside_parameters(self) -> dict[str, int]:
        """Where both lie in memories outside, if they do."""
        if not self.rom().outside:
            return {}
        (weight, param), (weights, params) = map(self.numbers, ("rom_first", "rom_space"))
        return {
            "Outside": 1,
            "WeightFirst": weight,
            "WeightSpace": weights,
            "ParamFirst": param,
            "ParamSpace": params,
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The images of thresholds, weights and parameters, the last two in one if they share.

        Raises:
            ValueError: no initializer, or a value outside its width.
        """
        name = self.onnx_node.name
        thresholds = self.constant(model, -3, (self.number("IFMChannels"), 1))
        bits = int(self.input_streams()[0].dtype.bitwidth())
        low, high = limits(bits)
        # What every input reaches, or none does, is as good as the nearest such threshold.
        reached = np.clip(thresholds[:, 0], low, high + 1)
        files = {f"{name}_thresholds.mem": hex_memory(reached.tolist(), bits + 1)}
        if self.rom().outside:
            return files
        words, of_epilogue = self.outside_words(model)
        if self.rom().shared:
            both = [*words, *of_epilogue]
            return {**files, **part_memories(f"{name}_weights", both, self.rom().parts)}
        return {
            **files,
            f"{name}_weights.mem": hex_memory(words, self.number("SIMD") * self.number("PE")),
            f"{name}_params.mem": hex_memory(of_epilogue, WORD_BITS),
        }

    def outside_words(self, model: Any) -> tuple[list[int], list[int]]:
        """The words of weights and parameters.

        Raises:
            ValueError: no initializer, or a value outside its width.
        """
        outputs, limit = self.number("OFMChannels"), self.bias_limit()
        weights = self.constant(model, -2, (self.inputs(), outputs))
        params = self.constant(model, -1, (5, outputs))
        params[1] = np.clip(params[1], -limit, limit)
        try:
            of_epilogue = self.epilogue().words(params, -self.inputs() * params[0])
        except ValueError as error:
            raise ValueError(f"{self.onnx_node.name}: {error}") from error
        return weight_words(weights, self.number("PE"), self.number("SIMD"), 1), of_epilogue


OPS = (BinaryBlock, BinaryBlock_rtl)

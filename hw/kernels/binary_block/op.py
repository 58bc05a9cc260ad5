# SPDX-License-Identifier: Apache-2.0
"""FINN op BinaryBlock and its RTL backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....quant.grid import EpilogueFormat, IntArray, limits
from ..base import Stream, hex_memory, require_divisor
from ..costs import Structure
from ..facts import Geometry
from ..fused import Fused, FusedRtl
from ..memory import LineMemory, rom_luts
from ..mvu import weight_words
from ..serial_epilogue import WORD_BITS, WORDS, SerialEpilogue, bias_bits
from . import golden
from .places import PLACES, Rom, rom_of
from .walk import Ring, Walk, ring_of

MUL_BITS = 10
"""Bits of the batch-norm multiplier m."""
SLOPE_BITS = 8
"""Bits of the RPReLU slope."""
DOT_CYCLES = 5
"""Cycles from a step to the counts beside the epilogue, without those that add chunks."""
CHUNK = 6
"""Bits counted in one cycle."""
SHORTCUTS = ("none", "own", "stream")
"""Where the shortcut comes from, numbered as the RTL numbers them."""


class BinaryBlock(Fused):
    """A 1-bit layer: inputs x[, shortcut], thresholds (C, 1), weights (MW, MH), params (5, MH)."""

    lanes = {"SIMD": "IFMChannels", "PE": "OFMChannels"}
    places = dict.fromkeys(("rom", "line_ram", "shortcut_ram"), PLACES[1:])
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
        "shortcut": ("s", True, "", set(SHORTCUTS)),
        "shortcutShift": ("i", True, 0),
        "preShift": ("i", True, 0),
        "slopeShift": ("i", True, 0),
        "outShift": ("i", True, 0),
        "preBits": ("i", True, 0),
        "inputDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
        "rom": ("s", False, "auto", set(PLACES)),
        "line_ram": ("s", False, "auto", set(PLACES)),
        "shortcut_ram": ("s", False, "auto", set(PLACES)),
    }

    def numbers(self, name: str) -> tuple[int, ...]:
        """An attribute of several integers."""
        return tuple(int(n) for n in self.get_nodeattr(name))

    def number(self, name: str) -> int:
        """An attribute that is one integer."""
        return int(self.get_nodeattr(name))

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

    def last_needed(self, pixels_in: int, pixels_out: int) -> IntArray:
        """A window needs its last pixel, or that of the picture where it ends in the border."""
        (height, width), (rows, columns) = self.numbers("IFMDim"), self.numbers("OFMDim")
        (kernel_y, kernel_x), (stride_y, stride_x) = map(self.numbers, ("KernelDim", "Stride"))
        top, left, _, _ = self.numbers("Padding")
        return Geometry(
            np.minimum(np.arange(rows) * stride_y - top + kernel_y, height) - 1,
            np.minimum(np.arange(columns) * stride_x - left + kernel_x, width) - 1,
            width,
        ).last_needed()

    def inputs(self) -> int:
        """Inputs of a sum: MW of the matrix product."""
        return int(np.prod(self.numbers("KernelDim"))) * self.number("IFMChannels")

    def steps(self) -> int:
        """Steps of an output pixel: weight words."""
        folds = self.number("OFMChannels") // self.number("PE")
        return self.inputs() // self.number("SIMD") * folds

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
            fast=True,
        )

    def compute_cycles(self) -> int:
        """Cycles of an output pixel: its steps and an idle one, or the epilogue's."""
        pe, chunks = self.number("PE"), -(-self.number("SIMD") // CHUNK)
        epilogue = self.epilogue().cycles
        levels = (chunks - 1).bit_length()
        group = (pe - 1) * epilogue + max(epilogue, DOT_CYCLES + levels + 1)
        return max(self.steps() + 1, self.number("OFMChannels") // pe * group)

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
        name = self.onnx_node.name
        require_divisor(name, self.number("IFMChannels"), "channels", "SIMD", self.number("SIMD"))
        require_divisor(name, self.number("OFMChannels"), "outputs", "PE", self.number("PE"))
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
        width = self.number("SIMD") * self.number("PE")
        params = WORDS * self.number("OFMChannels")
        return rom_of(width, self.steps(), params, self.get_nodeattr("rom"))

    def structures(self) -> dict[str, Structure]:
        """Memories, counts and accumulators, epilogue, loops; see README."""
        simd, pe = self.number("SIMD"), self.number("PE")
        count_bits, walk = self.inputs().bit_length(), self.walk()
        in_bits = int(self.input_streams()[0].dtype.bitwidth())
        out_bits = int(self.output_streams()[0].dtype.bitwidth())
        epilogue = self.epilogue()
        rom, line = self.rom(), self.line_ram()
        counts = {
            "one": 1,
            "products": pe * simd,
            "sums": pe * count_bits,
            "held": pe * count_bits if pe > 1 else 0,
            "lanes": pe,
            "shifted": simd,
            "compared": in_bits,
            "line address": self.ring().address_bits,
            "accumulated": epilogue.acc_bits,
            "pre": epilogue.fmt.pre_bits,
            "out": out_bits,
            "rom address": (self.steps() - 1).bit_length(),
            "params address": (WORDS * self.number("OFMChannels") - 1).bit_length(),
            "channels": (self.number("IFMChannels") - 1).bit_length(),
        }
        if walk.span > 1:
            counts["windows"] = 1
            counts["place"] = (walk.pixels - 1).bit_length()
        shortcut = str(self.get_nodeattr("shortcut"))
        if shortcut != "none":
            counts["shortcut"] = 1
            counts["shortcut bits"] = out_bits
        luts = rom.luts + line.select + rom_luts(self.number("IFMChannels"), in_bits + 1)
        lutram, bram18 = line.lutram, rom.brams + line.brams
        if shortcut == "own":
            own = self.shortcut_ram()
            counts["own"] = 1
            counts["own address"] = (own.depth - 1).bit_length()
            luts, lutram, bram18 = luts + own.select, lutram + own.lutram, bram18 + own.brams
        return {"": Structure(counts, luts=luts, lutram=lutram, bram18=bram18, dsp=1)}


class BinaryBlock_rtl(FusedRtl, BinaryBlock):
    """BinaryBlock with its constants in embedded memories."""

    module = "binary_block"
    primitives = True
    sources = (
        "rtl/loop_counter.sv",
        "rtl/line_memory.sv",
        "rtl/adder_tree.sv",
        "rtl/saturate.sv",
        "rtl/dsp_mac.sv",
        "kernels/epilogue/epilogue_serial.sv",
        "kernels/binary_block/agree_count.sv",
        "kernels/binary_block/block_writer.sv",
        "kernels/binary_block/block_place.sv",
        "kernels/binary_block/block_reader.sv",
        "kernels/binary_block/block_lines.sv",
        "kernels/binary_block/block_rom.sv",
        "kernels/binary_block/block_dot.sv",
        "kernels/binary_block/block_results.sv",
        "kernels/binary_block/binary_block.sv",
    )
    in_ports = ("in", "shortcut")

    def rtl_parameters(self) -> dict[str, int | str]:
        name = self.onnx_node.name
        bits = int(self.output_streams()[0].dtype.bitwidth())
        walk, ring, rom = self.walk(), self.ring(), self.rom()
        epilogue = self.epilogue()
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
            "LineAddress": ring.address_bits,
            "Slack": ring.slack,
            "LineBlock": int(self.line_ram().block),
            "ShortcutDepth": self.shortcut_ram().depth,
            "ShortcutBlock": int(self.shortcut_ram().block),
            "SharedRom": int(rom.shared),
            "BlockRom": int(rom.block),
            "ThresholdFile": f"{name}_thresholds.mem",
            "WeightFile": f"{name}_weights.mem",
            "ParamFile": f"{name}_{'weights' if rom.shared else 'params'}.mem",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The images of thresholds, weights and parameters, the last two in one if they share.

        Raises:
            ValueError: no initializer, or a value outside its width.
        """
        name = self.onnx_node.name
        channels, outputs = self.number("IFMChannels"), self.number("OFMChannels")
        thresholds = self._constant(model, -3, (channels, 1))
        weights = self._constant(model, -2, (self.inputs(), outputs))
        params = self._constant(model, -1, (5, outputs))
        bits = int(self.input_streams()[0].dtype.bitwidth())
        low, high = limits(bits)
        # What every input reaches, or none does, is as good as the nearest such threshold.
        reached = np.clip(thresholds[:, 0], low, high + 1)
        width = self.number("SIMD") * self.number("PE")
        words = weight_words(weights, self.number("PE"), self.number("SIMD"), 1)
        limit = self.bias_limit()
        params[1] = np.clip(params[1], -limit, limit)
        try:
            of_epilogue = self.epilogue().words(params, -self.inputs() * params[0])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        files = {f"{name}_thresholds.mem": hex_memory(reached.tolist(), bits + 1)}
        if self.rom().shared:
            image = hex_memory([*words, *of_epilogue], max(width, WORD_BITS))
            return {**files, f"{name}_weights.mem": image}
        return {
            **files,
            f"{name}_weights.mem": hex_memory(words, width),
            f"{name}_params.mem": hex_memory(of_epilogue, WORD_BITS),
        }

    def _constant(self, model: Any, index: int, shape: tuple[int, ...]) -> IntArray:
        tensor = self.onnx_node.input[index]
        value = model.get_initializer(tensor)
        if value is None or value.shape != shape:
            found = "no initializer" if value is None else f"shape {value.shape}"
            raise ValueError(
                f"{self.onnx_node.name}: {tensor} has {found}, expected an initializer of shape "
                f"{shape}"
            )
        rounded: IntArray = np.rint(value).astype(np.int64)
        return rounded


OPS = (BinaryBlock, BinaryBlock_rtl)

# SPDX-License-Identifier: Apache-2.0
"""FINN op SharedEngine and its RTL backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray
from ..base import Stream, hex_memory, require_divisor
from ..block_parts import dot_levels
from ..costs import Structure
from ..fused import Fused, FusedRtl
from ..memory import LineMemory, ReadOnlyMemory, block_banks
from ..mvu import weight_words
from ..places import PLACES
from . import golden
from .fields import Fields, Layer, field_bits, packed
from .structure import structure_of

LEAST_LINE_BITS = 5
"""Address bits of the smallest bit map: LUT RAM has 32 words or more."""
WORD_CYCLES = 3
"""Cycles in which a word leaves."""
ROOM_CYCLES = 2
"""Idle cycles of the input behind a pixel."""
HAND_OVER = 8
"""Cycles from the last word that leaves a buffer to the first one of the next frame."""
PASS_CYCLES = 14
"""Cycles between the last step of a layer and the first one of the next, without Pe and adders."""
MAP_WORDS = 128
"""Words of a bank of maps in LUTs."""
BITS_CYCLES = 7
"""Cycles behind the last word of a pass that makes bits alone."""


class SharedEngine(Fused):
    """Units of split, 1-bit layers on the right half, shuffle: inputs x (1, H, W, 2C), for each
    layer thresholds (C, 1), weights (MW, C) and params (5, C)."""

    lanes = {"SIMD": "NumChannels", "PE": "NumChannels"}
    places = dict.fromkeys(("weight_rom", "param_rom", "line_ram", "map_ram"), PLACES[1:])
    registers_output = True
    registers_ready = True
    reads_ahead = True
    golden = staticmethod(golden.run)
    attributes = {
        "NumChannels": ("i", True, 0),
        "SIMD": ("i", True, 0),
        "PE": ("i", True, 0),
        "IFMDim": ("ints", True, []),
        "Units": ("i", True, 0),
        "Kernels": ("ints", True, []),
        "preShifts": ("ints", True, []),
        "shortcutShifts": ("ints", True, []),
        "slopeShift": ("i", True, 0),
        "outShift": ("i", True, 0),
        "preBits": ("i", True, 0),
        "inputDataType": ("s", True, ""),
        "fieldBits": ("ints", False, []),
        "weight_rom": ("s", False, "auto", set(PLACES)),
        "param_rom": ("s", False, "auto", set(PLACES)),
        "line_ram": ("s", False, "auto", set(PLACES)),
        "map_ram": ("s", False, "auto", set(PLACES)),
    }

    def numbers(self, name: str) -> tuple[int, ...]:
        """An attribute of several integers."""
        return tuple(int(n) for n in self.get_nodeattr(name))

    def number(self, name: str) -> int:
        """An attribute that is one integer."""
        return int(self.get_nodeattr(name))

    def input_streams(self) -> list[Stream]:
        shape = (1, *self.numbers("IFMDim"), 2 * self.number("NumChannels"))
        return [Stream(str(self.get_nodeattr("inputDataType")), shape, 1)]

    def output_streams(self) -> list[Stream]:
        return self.input_streams()

    def taps(self) -> list[tuple[str, Stream]]:
        """Of each layer the bits, the accumulators and the results: what its constants make."""
        body = self.body
        if body is None:
            return []
        readers = {name: node for node in body.node for name in node.input}
        made = [readers[value.name].output[0] for value in body.input[1:]]
        lanes = (1, self.number("PE"), 1)
        return [(name, self.inner_stream(name, lanes[i % 3])) for i, name in enumerate(made)]

    def last_needed(self, pixels_in: int, pixels_out: int) -> IntArray:
        """Nothing leaves before the whole frame is in."""
        return np.full(pixels_out, pixels_in - 1)

    def pixels(self) -> int:
        """Pixels of a map."""
        return int(np.prod(self.numbers("IFMDim")))

    def bits(self) -> int:
        """Bits of a word of the stream."""
        return int(self.input_streams()[0].dtype.bitwidth())

    def fields(self) -> Fields:
        """The parameters of all layers."""
        channels = self.number("NumChannels")
        kernels = self.numbers("Kernels") * self.number("Units")
        shifts = (self.numbers(name) for name in ("preShifts", "shortcutShifts"))
        layers = zip(kernels, *shifts, strict=True)
        return Fields(
            tuple(Layer(kernel * kernel * channels, pre, own) for kernel, pre, own in layers),
            self.bits(),
            self.number("preBits"),
        )

    def field_bits(self) -> list[int]:
        """Bits of a parameter word's fields: as the constants need them, where these are known."""
        return list(self.numbers("fieldBits")) or self.fields().widest()

    def layer_steps(self, kernel: int) -> tuple[int, int]:
        """Steps of the outputs that are computed at once, and how often in a layer."""
        channels, pe = self.number("NumChannels"), self.number("PE")
        return kernel * kernel * channels // self.number("SIMD"), self.pixels() * channels // pe

    def frame_cycles(self) -> int:
        """Cycles from a frame's first word read to the next frame's, if that is there."""
        words, pe = self.pixels() * self.number("NumChannels"), self.number("PE")
        unit = words + BITS_CYCLES
        for kernel in self.numbers("Kernels"):
            steps, times = self.layer_steps(kernel)
            last = steps - 1 + (times - 1) * max(steps, pe)
            unit += last + 1 + PASS_CYCLES + dot_levels(self.number("SIMD")) + pe
        return self.number("Units") * unit + 1

    def exchange_cycles(self) -> int:
        """Cycles in which a frame leaves a buffer and the next one takes its place."""
        channels = 2 * self.number("NumChannels")
        return WORD_CYCLES * channels * self.pixels() + channels + ROOM_CYCLES + HAND_OVER

    def cycles(self) -> int:
        """The engine's passes, or the exchange of frames where that is slower."""
        return max(self.frame_cycles(), self.exchange_cycles())

    def verify_node(self) -> None:
        """Check what the core cannot be.

        Raises:
            ValueError: lanes, layers, datatype or widths that it does not have.
        """
        name = self.onnx_node.name
        for lane in ("SIMD", "PE"):
            require_divisor(name, self.number("NumChannels"), "channels", lane, self.number(lane))
        for reason in self.refusals():
            raise ValueError(f"{name}: {reason}")

    def refusals(self) -> list[str]:
        """Say why there is no such core, one line each; empty where there is one."""
        found = []
        value, kernels = str(self.get_nodeattr("inputDataType")), self.numbers("Kernels")
        bits = value.removeprefix("INT")
        if not (value.startswith("INT") and bits.isdigit() and 2 <= int(bits) <= 16):
            found.append(f"found inputDataType {value}, expected INT2..INT16")
        if self.number("NumChannels") < 2 or self.number("Units") < 1:
            found.append(
                f"found {self.number('Units')} units of {self.number('NumChannels')} channels, "
                "expected 1 or more of 2 or more"
            )
        if not 1 <= len(kernels) <= 32 or any(k % 2 == 0 for k in kernels):
            found.append(f"found kernels {kernels}, expected odd ones of 1 to 32 layers")
        elif len(set(kernels) - {1}) > 1:
            found.append(f"found kernels {kernels}, expected 1 and one other at most")
        layers = len(kernels) * self.number("Units")
        if {len(self.numbers(n)) for n in ("preShifts", "shortcutShifts")} != {layers}:
            found.append(f"found other shifts than {layers}, one for each layer")
        if not found and not self.fields().alike:
            found.append(
                f"found shifts {self.numbers('shortcutShifts')} of shortcuts and "
                f"{self.numbers('preShifts')}, expected the same difference in all layers"
            )
        return found

    def read_constants(self, model: Any) -> None:
        """Take over the bits that the parameters of all layers need."""
        thresholds, _, params = self._constants(model)
        rows = self.fields().rows(thresholds, params)
        self.set_nodeattr("fieldBits", field_bits(rows))

    def _constants(self, model: Any) -> tuple[list[IntArray], list[IntArray], list[IntArray]]:
        """Thresholds, weights and parameters of all layers.

        Raises:
            ValueError: one is missing, or has another shape.
        """
        name, channels = self.onnx_node.name, self.number("NumChannels")
        shapes = [
            shape
            for layer in self.fields().layers
            for shape in ((channels, 1), (layer.inputs, channels), (5, channels))
        ]
        tensors = list(self.onnx_node.input[1:])
        if len(tensors) != len(shapes):
            raise ValueError(f"{name}: found {len(tensors)} constants, expected {len(shapes)}")
        values = [_constant(name, model, *pair) for pair in zip(tensors, shapes, strict=True)]
        return values[0::3], values[1::3], values[2::3]

    def line_address(self) -> int:
        """Address bits of the bit maps: one is written while the other is read."""
        words = 2 * self.pixels() * self.number("NumChannels") // self.number("SIMD")
        return max(LEAST_LINE_BITS, (words - 1).bit_length())

    def line_ram(self) -> LineMemory:
        """The bit maps."""
        depth = 1 << self.line_address()
        return LineMemory(depth, self.number("SIMD"), self.get_nodeattr("line_ram"))

    def map_ram(self) -> LineMemory:
        """One of the two buffers."""
        depth = 2 * self.number("NumChannels") * self.pixels()
        return LineMemory(depth, self.bits(), self.get_nodeattr("map_ram"))

    def map_banks(self) -> list[LineMemory]:
        """The banks of a buffer."""
        whole, bits = self.map_ram(), self.bits()
        if whole.block:
            banks = block_banks(whole.depth, bits)
            return [LineMemory(depth, bits, "block") for depth in banks]
        words = [min(MAP_WORDS, whole.depth - n) for n in range(0, whole.depth, MAP_WORDS)]
        return [LineMemory(max(2, depth), bits, "lut") for depth in words]

    def weight_rom(self) -> tuple[int, int]:
        """Words and bits of the weights of all layers."""
        pe, simd = self.number("PE"), self.number("SIMD")
        folds = self.number("NumChannels") // pe
        steps = sum(self.layer_steps(kernel)[0] for kernel in self.numbers("Kernels"))
        return self.number("Units") * steps * folds, pe * simd

    def param_rom(self) -> tuple[int, int]:
        """Words and bits of the parameters of all layers."""
        layers = self.number("Units") * len(self.numbers("Kernels"))
        return layers * self.number("NumChannels"), sum(self.field_bits())

    def banks(self, rom: str) -> list[int]:
        """Words of each bank of a memory of constants; one where it lies in LUTs."""
        depth, width = getattr(self, rom)()
        return block_banks(depth, width) if self.in_block(rom) else [depth]

    def in_block(self, rom: str) -> bool:
        """Whether a memory of constants lies in block RAM: as told, or where that is cheaper."""
        place = str(self.get_nodeattr(rom))
        if place != "auto":
            return place == "block"
        depth, width = getattr(self, rom)()
        return ReadOnlyMemory(depth, width).block

    def structures(self) -> dict[str, Structure]:
        """What the engine is made of."""
        return {"": structure_of(self)}


class SharedEngine_rtl(FusedRtl, SharedEngine):
    """SharedEngine with its constants in embedded memories."""

    module = "shared_engine"
    sources = (
        "rtl/loop_counter.sv",
        "rtl/line_memory.sv",
        "rtl/banked_rom.sv",
        "rtl/deep_memory.sv",
        "rtl/adder_tree.sv",
        "rtl/saturate.sv",
        "kernels/epilogue/epilogue_lane.sv",
        "rtl/agree_count.sv",
        "rtl/block_lines.sv",
        "rtl/block_dot.sv",
        "kernels/shared_engine/engine_places.sv",
        "kernels/shared_engine/engine_maps.sv",
        "kernels/shared_engine/engine_frames.sv",
        "kernels/shared_engine/engine_sequencer.sv",
        "kernels/shared_engine/engine_results.sv",
        "kernels/shared_engine/shared_engine.sv",
    )

    def rtl_parameters(self) -> dict[str, int | str]:
        name, fields, widths = self.onnx_node.name, self.fields(), self.field_bits()
        channels, kernels = self.number("NumChannels"), self.numbers("Kernels")
        height, width = self.numbers("IFMDim")
        return {
            "Channels": channels,
            "Height": height,
            "Width": width,
            "Units": self.number("Units"),
            "Layers": len(kernels),
            "Kernel": max(kernels),
            "WideLayers": sum(1 << i for i, kernel in enumerate(kernels) if kernel > 1),
            "Stride": pow(channels, self.number("Units"), 2 * channels - 1),
            "Simd": self.number("SIMD"),
            "Pe": self.number("PE"),
            "Bits": self.bits(),
            "ShortcutShift": fields.shortcut_shift,
            "PreShift": fields.pre_shift,
            "PreBits": self.number("preBits"),
            "SlopeShift": self.number("slopeShift"),
            "OutShift": self.number("outShift"),
            "MulWidth": widths[0],
            "BiasWidth": widths[1],
            "ZetaWidth": widths[2],
            "SlopeWidth": widths[3],
            "EtaWidth": widths[4],
            "ThresholdWidth": widths[5],
            "LineAddress": self.line_address(),
            "WeightWords": self.weight_rom()[0],
            "LineBlock": int(self.line_ram().block),
            "MapBlock": int(self.map_ram().block),
            "MapBank": self.map_banks()[0].depth,
            "WeightBlock": int(self.in_block("weight_rom")),
            "ParamBlock": int(self.in_block("param_rom")),
            "WeightBank": self.banks("weight_rom")[0],
            "WeightPrefix": f"{name}_weights",
            "ParamBank": self.banks("param_rom")[0],
            "ParamPrefix": f"{name}_params",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The images of weights and parameters of all layers.

        Raises:
            ValueError: no initializer, or a value outside its range.
        """
        name, bits = self.onnx_node.name, self.field_bits()
        thresholds, weights, params = self._constants(model)
        try:
            rows = self.fields().rows(thresholds, params)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        pe, simd = self.number("PE"), self.number("SIMD")
        words = [word for layer in weights for word in weight_words(layer, pe, simd, 1)]
        return {
            **self._images(f"{name}_weights", "weight_rom", words),
            **self._images(f"{name}_params", "param_rom", packed(rows, bits)),
        }

    def _images(self, prefix: str, rom: str, words: Sequence[int]) -> dict[str, str]:
        """The image of each bank, filled up with zeros."""
        _, width = getattr(self, rom)()
        images, first = {}, 0
        for number, bank in enumerate(self.banks(rom)):
            part = [*words[first : first + bank]]
            part += [0] * (bank - len(part))
            images[f"{prefix}_{number}.mem"] = hex_memory(part, width)
            first += bank
        return images


def _constant(node: str, model: Any, tensor: str, shape: Sequence[int]) -> IntArray:
    value = model.get_initializer(tensor)
    if value is None or value.shape != tuple(shape):
        found = "no initializer" if value is None else f"shape {value.shape}"
        raise ValueError(
            f"{node}: {tensor} has {found}, expected an initializer of shape {tuple(shape)}"
        )
    rounded: IntArray = np.rint(value).astype(np.int64)
    return rounded


OPS = (SharedEngine, SharedEngine_rtl)

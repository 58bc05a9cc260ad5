# SPDX-License-Identifier: Apache-2.0
"""FINN op Epilogue and its RTL backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....quant.grid import IntArray, signed_bits
from ..banked import BankedRom
from ..base import RtlKernel, Stream
from ..channelwise import Channelwise
from ..choice import ChosenKernel, implementation_attribute
from ..costs import Structure
from ..serial_epilogue import WORD_BITS, WORDS, SerialEpilogue, bias_bits, require_fit
from . import golden

MUL_BITS = 10
"""Width of the batch-norm multiplier m."""
SLOPE_BITS = 8
"""Width of the RPReLU slope."""
IMPLEMENTATIONS = ("pipelined", "serial")
"""The ways to compute, numbered as the RTL numbers them."""


class Epilogue(Channelwise, ChosenKernel):
    """BN + shortcut + RPReLU + re-quantisation: inputs acc[, shortcut], params (5, C)."""

    paced = True
    golden = staticmethod(golden.run)
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "numInputVectors": ("ints", True, [1]),
        "accDataType": ("s", True, ""),
        "hasShortcut": ("i", True, 0),
        "accShift": ("i", True, 0),
        "shortcutShift": ("i", True, 0),
        "preShift": ("i", True, 0),
        "slopeShift": ("i", True, 0),
        "outShift": ("i", True, 0),
        "accBits": ("i", True, 0),
        "preBits": ("i", True, 0),
        "outputDataType": ("s", True, ""),
        "implementation": implementation_attribute(IMPLEMENTATIONS, required=False),
    }

    def input_streams(self) -> list[Stream]:
        acc = self.stream("accDataType")
        return [acc, self.stream("outputDataType")] if self.get_nodeattr("hasShortcut") else [acc]

    def stream(self, attribute: str) -> Stream:
        """A stream of the datatype that an attribute names, a signed one.

        The shortcut has the output's datatype: both are residual streams.
        """
        name = self.get_nodeattr(attribute)
        if not name.startswith("INT"):
            raise ValueError(
                f"{self.onnx_node.name}: found {attribute} {name}, expected INT2..INT32; "
                "Epilogue computes on signed integers"
            )
        return self.stream_of(name)

    def infer_node_datatype(self, model: Any) -> None:
        """Follow the accumulator's datatype, then state the output's."""
        datatype = model.get_tensor_datatype(self.onnx_node.input[0])
        self.set_nodeattr("accDataType", datatype.name)
        super().infer_node_datatype(model)

    def cycles(self) -> int:
        return self.output_streams()[0].words * self.cycles_per_word(self.resolved())

    def cycles_per_word(self, implementation: str) -> int:
        return 1 if implementation == "pipelined" else self.serial().cycles

    def serial(self) -> SerialEpilogue:
        """The core of one lane that computes on one DSP block."""
        fmt = golden.format_of(self.attrs())
        return SerialEpilogue(
            fmt,
            self.input_streams()[0].dtype.bitwidth(),
            bool(self.get_nodeattr("hasShortcut")),
            bias_bits(self.bias_limit(), fmt.pre_shift),
            MUL_BITS,
            SLOPE_BITS,
        )

    def bias_limit(self) -> int:
        """Largest |b| that matters: beyond it the pre-activation saturates whatever comes in."""
        acc_bits = self.input_streams()[0].dtype.bitwidth()
        if self.get_nodeattr("accShift"):
            acc_bits = self.get_nodeattr("accBits")
        product = 1 << (acc_bits + MUL_BITS - 2)
        shortcut_bits = self.get_output_datatype().bitwidth() + self.get_nodeattr("shortcutShift")
        shortcut = 1 << (shortcut_bits - 1) if self.get_nodeattr("hasShortcut") else 0
        pre_shift = self.get_nodeattr("preShift")
        # Saturation bound of the shifted sum, and the rounding half on top.
        return (
            product
            + shortcut
            + (1 << (self.get_nodeattr("preBits") - 1 + pre_shift))
            + (1 << pre_shift)
        )

    def param_bits(self) -> int:
        """Bits of one channel's parameters: m, b, zeta, slope, eta."""
        bias_bits = signed_bits(self.bias_limit())
        return MUL_BITS + bias_bits + 2 * self.get_nodeattr("preBits") + SLOPE_BITS

    def structures(self) -> dict[str, Structure]:
        """Per lane adders, saturations and the slope multiplier, or what leads one DSP block; the
        memory; see README. Of equal cost, folding takes the first."""
        pe, acc_bits = int(self.get_nodeattr("PE")), int(self.input_streams()[0].dtype.bitwidth())
        pipelined = self.pipelined()
        serial = self.serial()
        if serial.refusals():
            return {"pipelined": pipelined}
        rom = self.rom("serial")
        word = rom.word_registers
        led = {
            **serial.counts(pe),
            "bits": pe * acc_bits,
            "folds": (rom.depth - 1).bit_length(),
            # Words of parameters that are held; behind block RAM stands a register already.
            "registers": word * (0.5 if rom.block else 1.0),
        }
        found = Structure(
            led, luts=rom.luts, ffs=rom.registers - word, bram18=rom.brams, dsp=pe, table="serial"
        )
        return {"serial": found, "pipelined": pipelined}

    def pipelined(self) -> Structure:
        """Two products per lane, in a pipeline beside which the parameters travel; see
        epilogue_lane.sv."""
        pe, rom = int(self.get_nodeattr("PE")), self.rom("pipelined")
        pre, shift = (int(self.get_nodeattr(name)) for name in ("preBits", "accShift"))
        acc = int(self.input_streams()[0].dtype.bitwidth())
        out, bias = int(self.get_output_datatype().bitwidth()), signed_bits(self.bias_limit())
        factor = int(self.get_nodeattr("accBits")) if shift else acc
        added = out * int(bool(self.get_nodeattr("hasShortcut")))
        aligned = added + int(self.get_nodeattr("shortcutShift")) if added else 0
        total = max(factor + MUL_BITS, bias, aligned, self.get_nodeattr("preShift") + 1) + 2
        last = pre + SLOPE_BITS + 3
        # Bits of parameters that differ from word to word; the others are constants.
        varying = rom.word_registers / rom.width
        stages = 2 if shift else 1
        registers = stages * (added + varying * (MUL_BITS + bias)) + factor + 2 * total
        registers += (acc + 1 - shift if shift else 0) + factor + MUL_BITS  # the product, too
        registers += 3 * pre + 2 + 2 * last + 3 * out
        counts = {
            "one": 1,
            "lanes": pe,
            "rounded": pe * acc if shift else 0,
            "aligned": pe * min(aligned, out),
            "total": pe * total,
            "excess": pe * max(0, total - int(self.get_nodeattr("preShift")) - pre),
            "pre": pe * pre,
            "last": pe * last,
            "out": pe * out,
            "folds": (rom.depth - 1).bit_length(),
            "pipeline": pe * registers,
        }
        # zeta, slope and eta wait for their turn in shift registers.
        moved = round(pe * varying * (2 * pre + SLOPE_BITS))
        return Structure(
            counts, luts=rom.luts, ffs=rom.registers, lutram=moved, bram18=rom.brams, dsp=2 * pe,
            table="pipelined" if rom.depth > 1 else "constants",
        )  # fmt: skip

    def rom(self, implementation: str) -> BankedRom:
        """The parameters; those of the serial one may lie in banks."""
        pe, folds = int(self.get_nodeattr("PE")), self.rom_depth()
        if implementation == "pipelined":
            return BankedRom(folds, pe * self.param_bits())
        return BankedRom(folds * WORDS, pe * WORD_BITS)

    def refusal(self, wanted: str) -> str:
        found = ", ".join(self.serial().refusals())
        return (
            f"found implementation {wanted} with {found}, expected what fits one DSP block; use "
            "pipelined or auto"
        )

    def rom_depth(self) -> int:
        """Folds of the channels; a parameter word for each where pipelined."""
        return int(self.get_nodeattr("NumChannels") // self.get_nodeattr("PE"))


class Epilogue_rtl(RtlKernel, Epilogue):
    """Epilogue with its parameters in an embedded memory."""

    registers_output = True
    registers_ready = True
    module = "epilogue_rom"
    primitives = True
    sources = (
        "rtl/stream_register.sv",
        "rtl/rom_stream.sv",
        "rtl/banked_stream.sv",
        "rtl/saturate.sv",
        "rtl/dsp_mac.sv",
        "kernels/epilogue/epilogue_lane.sv",
        "kernels/epilogue/epilogue.sv",
        "kernels/epilogue/epilogue_serial.sv",
        "kernels/epilogue/epilogue_rom.sv",
    )
    in_ports = ("acc", "shortcut")

    def rtl_parameters(self) -> dict[str, int | str]:
        chosen = self.resolved()
        parameters = dict(self.serial().rtl_parameters())
        if chosen == "pipelined":
            parameters["BiasWidth"] = signed_bits(self.bias_limit())
        return {
            "Channels": self.get_nodeattr("NumChannels"),
            "Pe": self.get_nodeattr("PE"),
            **parameters,
            "BlockRom": int(self.rom(chosen).block),
            "RomBank": self.rom(chosen).bank,
            "ParamFile": f"{self.onnx_node.name}_params.mem",
            "Implementation": IMPLEMENTATIONS.index(chosen),
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The parameter image.

        Raises:
            ValueError: no initializer, or a parameter outside its width.
        """
        name = self.onnx_node.name
        value = model.get_initializer(self.onnx_node.input[-1])
        channels, pe = self.get_nodeattr("NumChannels"), self.get_nodeattr("PE")
        if value is None or value.shape != (5, channels):
            found = "no initializer" if value is None else f"shape {value.shape}"
            raise ValueError(
                f"{name}: {self.onnx_node.input[-1]} has {found}, expected an initializer of "
                f"shape (5, {channels}) with rows m, b, zeta, slope, eta"
            )
        rows = value.astype(np.int64)
        limit = self.bias_limit()
        rows[1] = np.clip(rows[1], -limit, limit)
        chosen = self.resolved()
        try:
            if chosen == "pipelined":
                lanes, width = self.packed(rows), self.param_bits()
            else:
                by_channel = np.array(self.serial().words(rows)).reshape(-1, pe, WORDS)
                lanes, width = by_channel.swapaxes(1, 2).reshape(-1).tolist(), WORD_BITS
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        words = [
            sum(lanes[c + p] << (p * width) for p in range(pe)) for c in range(0, len(lanes), pe)
        ]
        return {f"{name}_params.mem": self.rom(chosen).image(words)}

    def packed(self, rows: IntArray) -> list[int]:
        """Return the words of the pipelined implementation, one per channel.

        Raises:
            ValueError: a parameter outside its width.
        """
        pre_bits = self.get_nodeattr("preBits")
        widths = (MUL_BITS, signed_bits(self.bias_limit()), pre_bits, SLOPE_BITS, pre_bits)
        require_fit(rows, widths)
        masks = [(1 << bits) - 1 for bits in widths]
        shifts = [sum(widths[:i]) for i in range(len(widths))]
        return [
            sum(
                (int(v) & mask) << shift
                for v, mask, shift in zip(column, masks, shifts, strict=True)
            )
            for column in rows.T
        ]


OPS = (Epilogue, Epilogue_rtl)

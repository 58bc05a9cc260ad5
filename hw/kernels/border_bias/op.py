# SPDX-License-Identifier: Apache-2.0
"""FINN ops of border_bias: a shift and a summand of each channel, by runs of rows and columns."""

from __future__ import annotations

from typing import Any

from qonnx.core.datatype import DataType

from ..base import RtlKernel, hex_memory, pack_lanes
from ..channelwise import Channelwise
from ..costs import Structure, loop_counts
from ..memory import PART_WORDS, ReadOnlyMemory
from .golden import run

MAX_SHIFT = 30
"""Most bits that x is shifted."""


class BorderBias(Channelwise):
    """y = x * 2**shift + bias of the pixel's run of rows and run of columns: (1, H, W, C)."""

    outputs_are = "sums"
    attributes = {
        "NumChannels": ("i", True, 0),
        "PE": ("i", True, 0),
        "ImgDim": ("ints", True, []),
        "RowRuns": ("ints", True, []),
        "ColumnRuns": ("ints", True, []),
        "shift": ("i", True, 0),
        "saturates": ("i", True, 0),
        "inputDataType": ("s", True, ""),
        "biasDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
    }
    golden = staticmethod(run)

    def vectors(self) -> tuple[int, ...]:
        height, width = (int(n) for n in self.get_nodeattr("ImgDim"))
        return 1, height, width

    def runs(self) -> tuple[list[int], list[int]]:
        """Rows of each run of rows, and columns of each run of columns.

        Raises:
            ValueError: they do not make up the map, or there is only one of both.
        """
        rows = [int(n) for n in self.get_nodeattr("RowRuns")]
        columns = [int(n) for n in self.get_nodeattr("ColumnRuns")]
        sizes = [int(n) for n in self.get_nodeattr("ImgDim")]
        if [sum(rows), sum(columns)] != sizes or min(*rows, *columns, 1) < 1:
            raise ValueError(
                f"{self.onnx_node.name}: found runs of {rows} rows and {columns} columns, expected "
                f"numbers above 0 that sum up to {sizes}"
            )
        if len(rows) * len(columns) < 2:
            raise ValueError(
                f"{self.onnx_node.name}: found one run of rows and one of columns, expected "
                "several; where all pixels have one bias the product in front adds it"
            )
        return rows, columns

    def verify_node(self) -> None:
        """Raise ValueError for runs or a shift that the RTL does not have, and for a type that
        holds no bias."""
        self.runs()
        shift, bits = int(self.get_nodeattr("shift")), self.sum_bits()
        narrow = self.get_nodeattr("saturates") and self._bits("outputDataType") >= bits
        wide = self._bits("inputDataType") + shift > bits or self._bits("biasDataType") > bits
        if not 0 <= shift <= MAX_SHIFT or narrow or wide:
            raise ValueError(
                f"{self.onnx_node.name}: found shift {shift} and biasDataType "
                f"{self.get_nodeattr('biasDataType')} for {self.get_nodeattr('inputDataType')}, "
                f"expected what outputDataType {self.get_nodeattr('outputDataType')} holds, or "
                f"more than that where it saturates, and at most {MAX_SHIFT}"
            )

    def sum_bits(self) -> int:
        """Bits of the sums, before they are saturated."""
        if not self.get_nodeattr("saturates"):
            return self._bits("outputDataType")
        shifted = self._bits("inputDataType") + int(self.get_nodeattr("shift"))
        return max(shifted, self._bits("biasDataType")) + 2

    def _bits(self, name: str) -> int:
        return int(DataType[self.get_nodeattr(name)].bitwidth())


class BorderBias_rtl(RtlKernel, BorderBias):
    """RTL backend of BorderBias."""

    registers_output = True
    module = "border_bias"
    sources = ("rtl/deep_rom.sv", "kernels/border_bias/border_bias.sv")

    def rom(self) -> ReadOnlyMemory:
        """The biases, a word for the lanes of each run of rows and columns."""
        rows, columns = self.runs()
        source = self.input_streams()[0]
        depth = len(rows) * len(columns) * (source.shape[-1] // source.lanes)
        return ReadOnlyMemory(depth, source.lanes * self._bits("biasDataType"))

    def rtl_parameters(self) -> dict[str, int | str]:
        self.verify_node()
        rows, columns = self.runs()
        source = self.input_streams()[0]
        return {
            "Lanes": source.lanes,
            "Folds": source.shape[-1] // source.lanes,
            "InBits": source.dtype.bitwidth(),
            "InSigned": int(source.dtype.signed()),
            "BiasBits": self._bits("biasDataType"),
            "OutBits": self._bits("outputDataType"),
            "Shift": self.get_nodeattr("shift"),
            "Saturates": self.get_nodeattr("saturates"),
            "RowRuns": len(rows),
            "ColumnRuns": len(columns),
            "RowLengths": _packed(rows),
            "ColumnLengths": _packed(columns),
            "BlockRom": int(self.rom().block),
            "ParamFile": f"{self.onnx_node.name}_bias.mem",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The image of the biases.

        Raises:
            ValueError: they are missing, have another shape, or lie outside their type.
        """
        name, source = self.onnx_node.input[1], self.input_streams()[0]
        value, (rows, columns) = model.get_initializer(name), self.runs()
        expected = (len(rows) * len(columns), source.shape[-1])
        datatype = DataType[self.get_nodeattr("biasDataType")]
        if value is None or value.shape != expected:
            found = "no initializer" if value is None else f"shape {value.shape}"
            raise ValueError(
                f"{self.onnx_node.name}: {name} has {found}, expected an initializer of shape "
                f"{expected}"
            )
        if value.min() < datatype.min() or value.max() > datatype.max():
            raise ValueError(
                f"{self.onnx_node.name}: {name} reaches {value.min():g}..{value.max():g}, expected "
                f"{datatype.name}"
            )
        bits = int(datatype.bitwidth())
        words = pack_lanes(value.reshape(-1, source.lanes).astype(int), bits)
        return {f"{self.onnx_node.name}_bias.mem": hex_memory(words, source.lanes * bits)}

    def structures(self) -> dict[str, Structure]:
        """An adder per lane; the memory and its addresses; counters of words, runs and places in
        them; registers behind x, the bias and the sum."""
        values = {k: int(v) for k, v in self.rtl_parameters().items() if k != "ParamFile"}
        rows, columns = self.runs()
        lanes, rom = values["Lanes"], self.rom()
        loops = loop_counts((values["Folds"], max(columns), len(columns), max(rows), len(rows)))
        addresses = (rom.depth - 1).bit_length()
        late = rom.block or rom.depth > PART_WORDS
        added = lanes * (self.sum_bits() - values["Shift"])
        counts = {
            "one": 1,
            "added": added,
            "address": addresses,
            "counters": loops["counters"],
            "loops": loops["loops"],
            "saturated": lanes * values["OutBits"] * values["Saturates"],
        }
        held = lanes * (values["InBits"] + values["OutBits"]) + 2 + rom.part_registers
        if late:
            held += rom.width + lanes * values["InBits"] + 1
        if values["Saturates"]:
            held += lanes * self.sum_bits() + 1
        # Where a run begins is kept where one has further places; with one run of columns it is
        # the same for both.
        begins = [max(columns) > 1, max(rows) > 1]
        kept = addresses * (1 + (sum(begins) if len(columns) > 1 else max(begins)))
        return {
            "": Structure(
                counts,
                luts=rom.luts,
                ffs=held + kept + loops["counters"],
                bram18=rom.brams,
            )
        }


def _packed(values: list[int]) -> int:
    """Return 32 bits of each number, the first one lowest."""
    return sum(value << (32 * i) for i, value in enumerate(values))


OPS = (BorderBias, BorderBias_rtl)

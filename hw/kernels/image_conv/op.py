# SPDX-License-Identifier: Apache-2.0
"""FINN op ImageConv and its RTL backend: border, window and product of 8-bit pixels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from qonnx.core.datatype import BaseDataType, DataType

from ....quant.grid import IntArray, accumulator_bounds
from ..base import Stream, hex_memory, require_divisor
from ..choice import ChosenKernel, implementation_attribute
from ..costs import Structure
from ..facts import FoldingRule, Geometry
from ..fused import Fused, FusedRtl
from ..memory import LUTS_PER_BRAM18, LineMemory, bram18_blocks
from ..skin import Bits, Parameters
from .golden import run
from .pace import Shape, interval
from .structure import structure_of
from .weights import borrows_from_least, cascade_rows, joined

IMPLEMENTATIONS: tuple[str, ...] = ("single", "paired")
"""A DSP per product, or one for the products of two outputs, whose sums are then added in LUTs."""
FACTOR_BITS = 25
"""Bits of the factor that holds two weights."""
MOST_WEIGHT_BITS = 1 << 16
"""Bits of weights that may be a parameter: beyond that they lie in block RAM."""
LUT_WORDS = 64
"""Words of a weight table in LUTs, at most."""


class Folding(NamedTuple):
    """A convolution's parallelism and what follows from it."""

    columns: int
    """Columns read at once: the least, a divisor of the stride, whose elements SIMD divides."""
    steps: int
    """Cycles of a pass: PE outputs of a window."""
    passes: int
    """Passes of a window."""
    lanes: int
    """Outputs per word: the least that leave before the next pass ends."""


class ImageConv(Fused, ChosenKernel):
    """Convolution (1, H, W, C) -> (1, Ho, Wo, MH) of unsigned bytes with weights of 2 to 8 bits.

    Inputs x, W (Kernel*Kernel*Channels, MH) with rows in the order row, column, channel.
    ``pairable`` says that no output has the least weight above a negative one; `read_constants`
    finds out.
    """

    paced: ClassVar[bool] = True
    """Folding chooses the implementation, because it counts DSPs."""
    lanes = {"SIMD": "ColumnElements", "PE": "MH"}
    outputs_are = "convolutions of the picture"
    registers_output = True
    registers_ready = True
    attributes = {
        "ImgDim": ("ints", True, []),
        "Channels": ("i", True, 0),
        "ColumnElements": ("i", True, 0),
        "Kernel": ("i", True, 0),
        "Stride": ("i", True, 0),
        "Padding": ("ints", True, []),
        "OutDim": ("ints", True, []),
        "MH": ("i", True, 0),
        "SIMD": ("i", True, 0),
        "PE": ("i", True, 0),
        "weightDataType": ("s", True, ""),
        "outputDataType": ("s", True, ""),
        "implementation": implementation_attribute(IMPLEMENTATIONS, False),
        "pairable": ("i", False, 0),
    }
    golden = staticmethod(run)

    def number(self, name: str) -> int:
        """An attribute that is one number."""
        return int(self.get_nodeattr(name))

    def numbers(self, name: str) -> list[int]:
        """An attribute that is a list."""
        return [int(n) for n in self.get_nodeattr(name)]

    def shape(self) -> Shape:
        """The geometry."""
        top, left, _, _ = self.numbers("Padding")
        height, width = self.numbers("ImgDim")
        return Shape(
            height, width, self.number("Kernel"), self.number("Stride"), top, left,
            *self.numbers("OutDim"),
        )  # fmt: skip

    def verify_node(self) -> None:
        """Refuse a geometry the op does not have.

        Raises:
            ValueError: see `misfit`, or attributes that do not fit each other.
        """
        kernel, stride, padding = (
            self.number("Kernel"),
            self.number("Stride"),
            self.numbers("Padding"),
        )
        reason = misfit(self.numbers("ImgDim"), kernel, stride, padding)
        if reason:
            raise ValueError(f"{self.onnx_node.name}: {reason}")
        top, left, bottom, right = padding
        height, width = self.numbers("ImgDim")
        expected = [
            (height + top + bottom - kernel) // stride + 1,
            (width + left + right - kernel) // stride + 1,
        ]
        elements = kernel * self.number("Channels")
        found = (self.numbers("OutDim"), self.number("ColumnElements"))
        if found != (expected, elements):
            raise ValueError(
                f"{self.onnx_node.name}: found OutDim={found[0]}, ColumnElements={found[1]}, "
                f"expected {expected} and {elements}"
            )

    def input_streams(self) -> list[Stream]:
        channels = self.number("Channels")
        return [Stream("UINT8", (1, *self.numbers("ImgDim"), channels), channels)]

    def output_streams(self) -> list[Stream]:
        shape = (1, *self.numbers("OutDim"), self.number("MH"))
        return [Stream(str(self.get_nodeattr("outputDataType")), shape, self.folding().lanes)]

    def folding(self) -> Folding:
        """What follows from SIMD and PE.

        Raises:
            ValueError: one of them does not divide its total.
        """
        name, simd, pe = self.onnx_node.name, self.number("SIMD"), self.number("PE")
        elements, outputs = self.number("ColumnElements"), self.number("MH")
        stride = self.number("Stride")
        require_divisor(name, stride * elements, "elements of a stride", "SIMD", simd)
        require_divisor(name, outputs, "outputs", "PE", pe)
        columns = next(
            n for n in range(1, stride + 1) if stride % n == 0 and n * elements % simd == 0
        )
        steps = -(-self.number("Kernel") // columns) * (columns * elements // simd)
        lanes = next(n for n in range(1, pe + 1) if pe % n == 0 and pe // n <= steps)
        return Folding(columns, steps, outputs // pe, lanes)

    def folding_rule(self) -> FoldingRule:
        """SIMD divides the elements of as many columns as lie between two windows."""
        rule = super().folding_rule()
        reach = self.number("Stride") * self.number("ColumnElements")
        return replace(rule, lanes={**rule.lanes, "SIMD": reach})

    def geometry(self) -> Geometry:
        """A window needs its last pixel, or that of the picture where it ends in the border."""
        shape = self.shape()
        rows, columns = (
            np.minimum(np.arange(out) * shape.stride + shape.kernel - 1 - before, size - 1)
            for out, before, size in (
                (shape.out_height, shape.top, shape.height),
                (shape.out_width, shape.left, shape.width),
            )
        )
        return Geometry(rows, columns, shape.width)

    def last_needed(self, pixels_in: int, pixels_out: int) -> IntArray:
        """By the geometry: node by node, a window that ends in the border would need nothing."""
        return self.geometry().last_needed()

    def cycles(self) -> int:
        folding = self.folding()
        return interval(self.shape(), folding.steps * folding.passes, folding.columns)

    def weight_type(self) -> BaseDataType:
        """Datatype of the weights, two's complement."""
        return DataType[self.get_nodeattr("weightDataType")]

    def get_op_and_param_counts(self) -> dict[str, int]:
        """Multiply-accumulates per frame and weights, under the names that FINN's MVAU uses."""
        weights = self.number("Kernel") * self.number("ColumnElements") * self.number("MH")
        bits = int(self.weight_type().bitwidth())
        return {
            f"op_mac_{bits}bx8b": weights * math.prod(self.numbers("OutDim")),
            f"param_weight_{bits}b": weights,
        }

    def rows_memory(self) -> LineMemory:
        """The rows of the picture that windows still need, a column per word."""
        _, width = self.numbers("ImgDim")
        return LineMemory(width, 8 * (self.number("Kernel") - 1) * self.number("Channels"))

    def weights_memory(self) -> tuple[int, int]:
        """Return LUTs and BRAM18 of the weights, in whichever costs less.

        A row of the cascade has a table of its own in LUTs, of two bits per LUT up to 32 words.
        """
        folding = self.folding()
        depth = folding.steps * folding.passes
        width = self.number("SIMD") * self.number("PE") * int(self.weight_type().bitwidth())
        luts = width if depth > 32 else -(-width // 2)
        blocks = bram18_blocks(depth, width, read_only=True)
        in_luts = depth <= LUT_WORDS and depth * width <= MOST_WEIGHT_BITS
        return (luts, 0) if in_luts and luts <= LUTS_PER_BRAM18 * blocks else (0, blocks)

    def read_constants(self, model: Any) -> None:
        """Note whether two weights fit one factor, the upper less 1 where the lower is negative."""
        weights, least = model.get_initializer(self.onnx_node.input[1]), self.weight_type().min()
        if weights is not None:
            self.set_nodeattr("pairable", int(not borrows_from_least(weights, least)))

    def chunk(self) -> int:
        """Rows of a cascade in which two outputs' sums do not meet."""
        bits = int(self.weight_type().bitwidth())
        fitting = (1 << (FACTOR_BITS - bits - 1)) // (255 << (bits - 1))
        return min(fitting, self.number("SIMD"))

    def structures(self) -> dict[str, Structure]:
        """Part by part; see structure.py."""
        found = {"single": structure_of(self, paired=False)}
        if self.number("pairable"):
            found["paired"] = structure_of(self, paired=True)
        return found

    def refusal(self, wanted: str) -> str:
        """Say why two weights do not fit one factor, and what to do."""
        return (
            f"found implementation {wanted} with a weight {int(self.weight_type().min())} above a "
            "negative one, expected none; use single or auto"
        )


def misfit(image: list[int], kernel: int, stride: int, padding: list[int]) -> str:
    """Say why the kernel does not have a geometry; empty where it has."""
    if not 2 <= kernel <= 16 or not 1 <= stride <= kernel:
        return (
            f"found Kernel={kernel}, Stride={stride}, expected a kernel of 2 to 16 and a stride up "
            "to it"
        )
    if max(padding) >= kernel or image[1] < 2:
        return (
            f"found a picture of {image[0]}x{image[1]} with borders {padding}, expected 2 columns "
            f"or more and borders below Kernel={kernel}"
        )
    return ""


class ImageConv_rtl(FusedRtl, ImageConv):
    """ImageConv with its weights in embedded memories."""

    registers_output = True
    registers_ready = True
    module = "image_conv"
    primitives = True
    sources = (
        "rtl/line_memory.sv",
        "rtl/loop_counter.sv",
        "kernels/image_conv/image_columns.sv",
        "kernels/image_conv/weight_rom.sv",
        "rtl/cascade_mac.sv",
        "kernels/image_conv/column_cascade.sv",
        "kernels/image_conv/column_product.sv",
        "kernels/image_conv/image_conv.sv",
    )
    _weights: IntArray | None = None
    """What the generated RTL holds, as the model has it."""

    def generate_hdl(self, model: Any, fpgapart: str, clk: float) -> None:
        """Write the skin, whose parameters hold the weights where these lie in LUTs."""
        self._weights = self.weights(model)
        super().generate_hdl(model, fpgapart, clk)

    def weights(self, model: Any) -> IntArray:
        """Return the weights (Kernel*Kernel*Channels, MH).

        Raises:
            ValueError: no constant integers of weightDataType, or outputs that outputDataType
                cannot hold.
        """
        name, datatype, acc = self.onnx_node.name, self.weight_type(), self.get_output_datatype()
        value = model.get_initializer(self.onnx_node.input[1])
        if value is None or not np.array_equal(np.rint(value), value):
            raise ValueError(
                f"{name}: found no constant integers as {self.onnx_node.input[1]}, expected the "
                "weights; lower the network again"
            )
        weights = np.rint(value).astype(np.int64)
        if not datatype.min() <= weights.min() <= weights.max() <= datatype.max():
            raise ValueError(
                f"{name}: found weights {weights.min()}..{weights.max()}, expected "
                f"{int(datatype.min())}..{int(datatype.max())} as declared by {datatype.name}"
            )
        low, high = (
            int(f(v))
            for f, v in zip((np.min, np.max), accumulator_bounds(weights, 0, 255), strict=True)
        )
        if low < acc.min() or high > acc.max():
            raise ValueError(
                f"{name}: outputs reach {low}..{high}, outputDataType {acc.name} holds "
                f"{int(acc.min())}..{int(acc.max())}; run MinimizeAccumulatorWidth"
            )
        if self.resolved() == "paired" and borrows_from_least(weights, datatype.min()):
            raise ValueError(f"{name}: {self.refusal('paired')}")
        return weights

    def weight_rows(self) -> list[list[int]]:
        """The weights of each row of a cascade: a word of PE of them for every step of a window.

        Raises:
            ValueError: the model's weights were not read yet.
        """
        if self._weights is None:
            raise ValueError(
                f"{self.onnx_node.name}: weights not read, generate the RTL of a model"
            )
        layout = (self.number(name) for name in ("Kernel", "Channels", "SIMD", "PE"))
        return cascade_rows(
            self._weights,
            *layout,
            columns=self.folding().columns,
            bits=int(self.weight_type().bitwidth()),
            paired=self.resolved() == "paired",
        )

    def rtl_parameters(self) -> Parameters:
        shape = self.shape()
        values: dict[str, int | str | Bits] = {
            "Height": shape.height,
            "Width": shape.width,
            "Channels": self.number("Channels"),
            "Kernel": shape.kernel,
            "Stride": shape.stride,
            "PadTop": shape.top,
            "PadLeft": shape.left,
            "OutHeight": shape.out_height,
            "OutWidth": shape.out_width,
            "Mh": self.number("MH"),
            "Pe": self.number("PE"),
            "Simd": self.number("SIMD"),
            "Columns": self.folding().columns,
            "Lanes": self.folding().lanes,
            "WeightWidth": int(self.weight_type().bitwidth()),
            "AccWidth": int(self.get_output_datatype().bitwidth()),
            "Paired": int(self.resolved() == "paired"),
            "RowsBlockRam": int(self.rows_memory().block),
        }
        if self.in_block():
            return {**values, "BlockRom": 1, "WeightFile": self.weight_file()}
        rows, bits = self.weight_rows(), self.number("PE") * int(self.weight_type().bitwidth())
        words = [word for row in rows for word in row]
        return {**values, "Weights": Bits(joined(words, bits), bits * len(words))}

    def in_block(self) -> bool:
        """Whether the weights lie in block RAM."""
        return self.weights_memory()[1] > 0

    def weight_file(self) -> str:
        """Name of the image of weights in block RAM."""
        return f"{self.onnx_node.name}_weights.mem"

    def memories(self, model: Any) -> dict[str, str]:
        """The image of weights in block RAM: a word per step, the first row's weights lowest."""
        if not self.in_block():
            return {}
        self._weights = self.weights(model)
        bits = self.number("PE") * int(self.weight_type().bitwidth())
        rows = self.weight_rows()
        words = [joined(word, bits) for word in zip(*rows, strict=True)]
        return {self.weight_file(): hex_memory(words, bits * len(rows))}


OPS = (ImageConv, ImageConv_rtl)

# SPDX-License-Identifier: Apache-2.0
"""What the matrix-vector ops share: folding, streams, cycles, the order of their weights."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from qonnx.core.datatype import BaseDataType, DataType

from ...quant.grid import ACCUMULATOR_BITS, IntArray, smallest_signed
from .banked import BankedRom
from .base import Kernel, Stream, hex_memory, pack_lanes, require_divisor
from .bit_heap import Cells
from .costs import Structure
from .memory import LineMemory, ReadOnlyMemory

NO_CELLS = Cells()
LUT_FACTOR_BITS = 4
"""Bits of the shorter factor up to which products lie in LUTs."""

RTL_PARTS: tuple[str, ...] = (
    "rtl/stream_register.sv",
    "rtl/loop_counter.sv",
    "rtl/rom_stream.sv",
    "rtl/line_memory.sv",
    "rtl/adder_tree.sv",
    "rtl/mvu_front.sv",
    "rtl/mvu_back.sv",
    "rtl/mvu_frame.sv",
)
"""Shared SystemVerilog of every matrix-vector unit."""

POPCOUNT_PARTS: tuple[str, ...] = (
    "rtl/gated_popcount.sv",
    "rtl/bit_heap.sv",
    "rtl/bit_heap_adder.sv",
    "rtl/bit_heap_counter.sv",
    "rtl/bit_heap_gates.sv",
    "rtl/bit_heap_tag.sv",
)
"""SystemVerilog of the popcount core, with the primitives it has for the 7 series."""


def weight_words(weights: npt.ArrayLike, pe: int, simd: int, bits: int) -> list[int]:
    """Pack a weight matrix in the order a matrix-vector unit consumes it.

    Args:
        weights: (MW, MH) integers.
        pe: outputs computed in parallel, a divisor of MH.
        simd: input elements per cycle, a divisor of MW.
        bits: width of a weight.

    Returns:
        MH/pe * MW/simd words; word nf*(MW/simd)+sf holds ``weights[sf*simd+s, nf*pe+p]`` at bit
        (p*simd+s)*bits.
    """
    w = np.asarray(weights, dtype=np.int64)
    mw, mh = w.shape
    folded = w.T.reshape(mh // pe, pe, mw // simd, simd).transpose(0, 2, 1, 3)
    return pack_lanes(folded.reshape(-1, pe * simd), bits)


class Mvu(Kernel):
    """A matrix-vector op: x (.., MW) times a stationary matrix (MW, MH)."""

    lanes = {"SIMD": "MW", "PE": "MH"}
    attributes = {
        "MW": ("i", True, 0),
        "MH": ("i", True, 0),
        "SIMD": ("i", True, 0),
        "PE": ("i", True, 0),
        "numInputVectors": ("ints", True, [1]),
        "outputDataType": ("s", True, ""),
    }

    @abstractmethod
    def input_type(self) -> str:
        """QONNX name of the input's datatype."""

    @abstractmethod
    def bounds(self, model: Any, datatype_only: bool = False) -> tuple[int, int]:
        """Return the worst-case output of any input, for these weights or for any weights."""

    def reached(self, model: Any) -> tuple[int, int]:
        """Of any input, for these weights."""
        return self.bounds(model)

    def minimize_accumulator_width(self, model: Any, datatype_only: bool = False) -> BaseDataType:
        """Set outputDataType to the smallest signed type that holds every possible output.

        Raises:
            ValueError: that type is wider than an accumulator can be.
        """
        low, high = self.bounds(model, datatype_only)
        datatype = DataType[smallest_signed(low, high)]
        bits = datatype.bitwidth()
        if bits > ACCUMULATOR_BITS:
            raise ValueError(
                f"{self.onnx_node.name}: the accumulator reaches {low}..{high} and needs {bits} "
                f"bits, expected at most {ACCUMULATOR_BITS}; use fewer bits for the weights "
                "or for the inputs"
            )
        self.set_nodeattr("outputDataType", datatype.name)
        return datatype

    def check_outputs(self, model: Any) -> None:
        """Refuse an outputDataType that the outputs do not fit, or that no accumulator has.

        Raises:
            ValueError: see above.
        """
        name, acc = self.onnx_node.name, self.get_output_datatype()
        low, high = self.bounds(model)
        if low < acc.min() or high > acc.max():
            raise ValueError(
                f"{name}: outputs reach {low}..{high}, outputDataType {acc.name} holds "
                f"{int(acc.min())}..{int(acc.max())}; run MinimizeAccumulatorWidth"
            )
        if acc.bitwidth() > ACCUMULATOR_BITS:
            raise ValueError(
                f"{name}: found outputDataType {acc.name}, expected at most "
                f"{ACCUMULATOR_BITS} bits; run MinimizeAccumulatorWidth"
            )

    def input_streams(self) -> list[Stream]:
        mw, simd = self.get_nodeattr("MW"), self.get_nodeattr("SIMD")
        require_divisor(self.onnx_node.name, mw, "input elements", "SIMD", simd)
        return [Stream(self.input_type(), (*self.vectors(), mw), simd)]

    def output_streams(self) -> list[Stream]:
        mh, pe = self.get_nodeattr("MH"), self.get_nodeattr("PE")
        require_divisor(self.onnx_node.name, mh, "outputs", "PE", pe)
        return [Stream(self.get_nodeattr("outputDataType"), (*self.vectors(), mh), pe)]

    def vectors(self) -> tuple[int, ...]:
        """Leading axes of input and output."""
        return tuple(int(n) for n in self.get_nodeattr("numInputVectors"))

    def cycles(self) -> int:
        return math.prod(self.vectors()) * self.weight_depth()

    def weight_type(self) -> BaseDataType:
        """Datatype of the weights; one bit unless an op says otherwise."""
        return DataType["BINARY"]

    def get_op_and_param_counts(self) -> dict[str, int]:
        """Multiply-accumulates per frame and weights, under the names that FINN's MVAU uses."""
        weights = int(self.get_nodeattr("MW") * self.get_nodeattr("MH"))
        bits = int(self.weight_type().bitwidth())
        low, high = sorted((bits, int(self.get_input_datatype().bitwidth())))
        return {
            f"op_mac_{low}bx{high}b": weights * math.prod(self.vectors()),
            f"param_weight_{bits}b": weights,
        }

    def weight_depth(self) -> int:
        """Weight words: steps of one input vector."""
        synapse_fold = self.get_nodeattr("MW") // self.get_nodeattr("SIMD")
        return synapse_fold * (self.get_nodeattr("MH") // self.get_nodeattr("PE"))

    def initializer(self, model: Any, index: int) -> IntArray:
        """Return the integers of input ``index``, a tensor that must be constant.

        Raises:
            ValueError: the tensor has no initializer, or it does not hold integers.
        """
        node = self.onnx_node
        value = model.get_initializer(node.input[index])
        if value is None:
            raise ValueError(
                f"{node.name}: input {index} ({node.input[index]}) has no initializer; "
                f"{node.op_type} keeps it in a memory, so it must be constant"
            )
        rounded = np.rint(value)
        if not np.array_equal(rounded, value):
            raise ValueError(f"{node.name}: {node.input[index]} holds values that are not integers")
        return rounded.astype(np.int64)

    def weight_memory(self, model: Any, datatype: BaseDataType) -> str:
        """Return the $readmemh text of the weights.

        Raises:
            ValueError: see ``weight_words``.
        """
        width = self.get_nodeattr("PE") * self.get_nodeattr("SIMD") * datatype.bitwidth()
        return hex_memory(self.weight_words(model, datatype), width)

    def weight_words(self, model: Any, datatype: BaseDataType) -> list[int]:
        """Return the weights, a word of them per step.

        Raises:
            ValueError: a weight lies outside ``datatype``.
        """
        weights = self.initializer(model, 1)
        if not datatype.min() <= weights.min() <= weights.max() <= datatype.max():
            raise ValueError(
                f"{self.onnx_node.name}: found weights {weights.min()}..{weights.max()}, expected "
                f"{int(datatype.min())}..{int(datatype.max())} as declared by {datatype.name}"
            )
        return self.pack_weights(weights, int(datatype.bitwidth()))

    def pack_weights(self, weights: IntArray, bits: int) -> list[int]:
        """The words of weights of so many bits, in the order of the RTL."""
        return weight_words(weights, self.get_nodeattr("PE"), self.get_nodeattr("SIMD"), bits)

    def weight_rom(self) -> ReadOnlyMemory:
        """The weights, a word per step."""
        width = self.get_nodeattr("PE") * self.get_nodeattr("SIMD") * self.weight_type().bitwidth()
        return ReadOnlyMemory(self.weight_depth(), int(width))

    def buffer(self) -> LineMemory | None:
        """The replay buffer: two vectors, where outputs are computed one group after the other."""
        mw, mh = self.get_nodeattr("MW"), self.get_nodeattr("MH")
        if mh == self.get_nodeattr("PE"):
            return None
        return LineMemory(2 * mw // self.get_nodeattr("SIMD"), self.input_streams()[0].width)

    def frame_structure(
        self, counts: Mapping[str, float], table: str = "", dot: Cells = NO_CELLS
    ) -> Structure:
        """Return the structure of a unit: what is counted of its dot products, the weights, the
        buffer in front and the accumulators behind.

        Args:
            counts: what the dot products are proportional to.
            table: name of the table.
            dot: what is known of the dot products.
        """
        mw, mh = int(self.get_nodeattr("MW")), int(self.get_nodeattr("MH"))
        simd, pe = int(self.get_nodeattr("SIMD")), int(self.get_nodeattr("PE"))
        steps, folds, rom, buffer = mw // simd, mh // pe, self.weight_rom(), self.buffer()
        if rom.depth == 1:
            table = f"{table} of constants".strip()
        acc = pe * int(self.get_output_datatype().bitwidth())
        step_bits, weight_bits = (steps - 1).bit_length(), (rom.depth - 1).bit_length()
        counts = {"one": 1, "step bits": step_bits, **counts}
        counts["weight bits"] = weight_bits
        counts["late"] = buffer.late if buffer else 0
        counts["summed" if steps > 1 else "results"] = acc
        # Of the weights, of the accumulators and what holds the results, of the loop.
        ffs = dot.ffs + rom.registers + weight_bits + 1 + rom.block
        if len(rom.parts) > 1:  # one register more behind block RAM
            ffs += rom.width + 1
        ffs += 2 * acc + 4 + step_bits + 2 if steps > 1 else 3 * acc + 3
        if buffer is None:
            return Structure(
                counts, luts=dot.luts + rom.luts, ffs=ffs, bram18=rom.brams, table=table
            )
        address = (buffer.depth - 1).bit_length()
        fold_bits = (folds - 1).bit_length()
        counts |= {
            "buffer": 1,
            "buffer bits": address,
            "fold bits": fold_bits,
            "buffered": buffer.width,
            "wraps": address if buffer.depth & (buffer.depth - 1) else 0,
        }
        ffs += buffer.registers + 2 * address + fold_bits + 2 * buffer.depth.bit_length() + 9
        ffs += 3 if steps > 1 else 0
        return Structure(
            counts,
            luts=dot.luts + rom.luts + buffer.select,
            ffs=ffs,
            lutram=buffer.lutram,
            bram18=rom.brams + buffer.brams,
            table=table,
        )

    def tag_bits(self) -> int:
        """Bits of a tag that differ: where a pass is a step, it is the first and the last."""
        return 1 if self.get_nodeattr("MW") == self.get_nodeattr("SIMD") else 2


class BiasedMvu(Mvu):
    """A unit of integer factors: datatypes of inputs and weights, a bias where it has a third
    input."""

    attributes = {
        **Mvu.attributes,
        "inputDataType": ("s", True, ""),
        "weightDataType": ("s", True, ""),
    }

    def input_type(self) -> str:
        return str(self.get_nodeattr("inputDataType"))

    def weight_type(self) -> BaseDataType:
        """Datatype of the weights: two's complement, or bits that stand for -1 and +1."""
        return DataType[self.get_nodeattr("weightDataType")]

    def has_bias(self) -> bool:
        """Whether the node has a third input."""
        return len(self.onnx_node.input) > 2

    def bias(self, model: Any) -> IntArray:
        """The bias (MH,), 0 where the node has none."""
        if not self.has_bias():
            return np.zeros(self.get_nodeattr("MH"), dtype=np.int64)
        return self.initializer(model, 2).reshape(-1)

    def infer_node_datatype(self, model: Any) -> None:
        """Follow the input's datatype, then state the output's."""
        datatype = model.get_tensor_datatype(self.onnx_node.input[0])
        self.set_nodeattr("inputDataType", datatype.name)
        super().infer_node_datatype(model)

    def images(self, model: Any, rom: BankedRom, pe: int) -> dict[str, str]:
        """Images of the weights and of the bias, ``pe`` outputs in a word of it.

        Raises:
            ValueError: weights outside weightDataType, or outputs that outputDataType cannot hold.
        """
        self.check_outputs(model)
        name = self.onnx_node.name
        files = {f"{name}_weights.mem": rom.image(self.weight_words(model, self.weight_type()))}
        if self.has_bias():
            width = int(self.get_output_datatype().bitwidth())
            words = pack_lanes(self.bias(model).reshape(-1, pe), width)
            files[f"{name}_bias.mem"] = hex_memory(words, pe * width)
        return files

# SPDX-License-Identifier: Apache-2.0
"""FINN op GroupedMvu and its RTL backend: depthwise and other grouped convolutions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from qonnx.core.datatype import BaseDataType

from ....quant.grid import IntArray, accumulator_bounds
from ..banked import BankedRom
from ..base import RtlKernel, Stream, pack_lanes
from ..bit_heap import tree_levels, tree_registers
from ..costs import Structure, loop_counts
from ..facts import FoldingRule, divisors
from ..memory import PART_WORDS, LineMemory, ReadOnlyMemory, varying
from ..mvu import LUT_FACTOR_BITS, RTL_PARTS, BiasedMvu
from . import golden


@dataclass(frozen=True)
class Shape:
    """How a convolution lies in words; names as in grouped_mvu.sv."""

    groups: int
    inputs: int
    """Channels of a group."""
    outputs: int
    """Outputs of a group."""
    taps: int
    simd: int

    @property
    def channels(self) -> int:
        """Channels of the window."""
        return self.groups * self.inputs

    @property
    def tap_lanes(self) -> int:
        """Positions of a word."""
        return max(1, self.simd // self.channels)

    @property
    def lanes(self) -> int:
        """Groups of a word."""
        return min(self.groups, self.simd // self.inputs)

    @property
    def count(self) -> int:
        """Operands of a sum."""
        return self.inputs * self.tap_lanes

    @property
    def pe(self) -> int:
        """Outputs of a word."""
        return self.lanes * self.outputs

    @property
    def turns(self) -> int:
        """Words of a position."""
        return self.groups // self.lanes

    @property
    def rounds(self) -> int:
        """Words of one group."""
        return self.taps // self.tap_lanes

    def foldings(self) -> tuple[int, ...]:
        """What ``SIMD`` may be: whole groups, or all channels of some positions."""
        some = [self.inputs * n for n in divisors(self.groups)]
        return tuple(some + [self.channels * n for n in divisors(self.taps)[1:]])


class GroupedMvu(BiasedMvu):
    """Every group of channels times its own weights: inputs x (.., MW) as windows come,
    W (MW / Groups, MH), optionally bias (MH,)."""

    golden = staticmethod(golden.run)
    lanes = {"SIMD": "MW"}
    attributes = {
        **{name: value for name, value in BiasedMvu.attributes.items() if name != "PE"},
        "Groups": ("i", True, 0),
        "Taps": ("i", True, 0),
        "inputSigns": ("i", True, 0, {0, 1}),
    }

    def shape(self) -> Shape:
        """How the convolution lies in words.

        Raises:
            ValueError: see `_shape`, or words that hold no whole groups.
        """
        name, mw, shape = self.onnx_node.name, self.get_nodeattr("MW"), self._shape()
        if shape.simd not in shape.foldings():
            raise ValueError(
                f"{name}: {mw} input elements cannot be split over SIMD={shape.simd}; use one of "
                f"{','.join(map(str, shape.foldings()))}: whole groups of {shape.inputs} channels "
                f"(folding: {name}.SIMD)"
            )
        return shape

    def _shape(self) -> Shape:
        """The same for any ``SIMD``.

        Raises:
            ValueError: groups or positions that do not divide it.
        """
        attr = self.get_nodeattr
        mw, mh, groups, taps = (int(attr(a)) for a in ("MW", "MH", "Groups", "Taps"))
        if min(mw, mh, groups, taps) < 1 or mw % (groups * taps) or mh % groups:
            raise ValueError(
                f"{self.onnx_node.name}: found MW={mw} MH={mh} with Groups={groups} Taps={taps}, "
                "expected MW a multiple of Groups * Taps and MH one of Groups"
            )
        return Shape(groups, mw // (groups * taps), mh // groups, taps, int(attr("SIMD")))

    def folding_rule(self) -> FoldingRule:
        shape = self._shape()
        return FoldingRule({"SIMD": shape.channels * shape.taps}, only={"SIMD": shape.foldings()})

    def input_signs(self) -> bool:
        """Whether inputs are bits that stand for -1 and +1."""
        return bool(self.get_nodeattr("inputSigns"))

    def weight_signs(self) -> bool:
        """Whether weights are such bits."""
        return bool(self.get_nodeattr("weightDataType") == "BINARY")

    def input_streams(self) -> list[Stream]:
        return [Stream(self.input_type(), (*self.vectors(), self.get_nodeattr("MW")),
                       self.shape().simd)]  # fmt: skip

    def output_streams(self) -> list[Stream]:
        shape = (*self.vectors(), self.get_nodeattr("MH"))
        return [Stream(self.get_nodeattr("outputDataType"), shape, self.shape().pe)]

    def weight_depth(self) -> int:
        """Weight words: steps of one input vector."""
        shape = self.shape()
        return shape.rounds * shape.turns

    def bounds(self, model: Any, datatype_only: bool = False) -> tuple[int, int]:
        """Return the worst-case output of any input, for these weights or for any weights."""
        low, high = (-1, 1) if self.input_signs() else _values(self.get_input_datatype())
        shape = (self.get_nodeattr("MW") // self.get_nodeattr("Groups"), self.get_nodeattr("MH"))
        weight, signs = self.weight_type(), self.weight_signs()
        if datatype_only:
            extremes = [np.full(shape, w) for w in ((-1, 1) if signs else _values(weight))]
        else:
            codes = self.initializer(model, 1)
            extremes = [2 * codes - 1 if signs else codes]
        pairs = [accumulator_bounds(w, low, high, self.bias(model)) for w in extremes]
        return min(int(p[0].min()) for p in pairs), max(int(p[1].max()) for p in pairs)

    def leaving(self) -> float:
        """Where groups take turns, sums leave in the last round."""
        shape = self.shape()
        return 1 / shape.rounds if shape.turns > 1 else 1.0

    def get_op_and_param_counts(self) -> dict[str, int]:
        """Multiply-accumulates per frame and weights, under the names that FINN's VVAU uses."""
        weights = int(self.get_nodeattr("MW") * self.get_nodeattr("MH"))
        weights //= int(self.get_nodeattr("Groups"))
        bits = int(self.weight_type().bitwidth())
        low, high = sorted((bits, int(self.get_input_datatype().bitwidth())))
        return {
            f"op_mac_{low}bx{high}b": weights * math.prod(self.vectors()),
            f"param_weight_{bits}b": weights,
        }

    def factor_bits(self) -> tuple[int, int]:
        """Bits of the factors of a product; signs have two."""
        x, w = self.get_input_datatype().bitwidth(), self.weight_type().bitwidth()
        return int(x) + self.input_signs(), int(w) + self.weight_signs()

    def weight_rom(self) -> BankedRom:
        """The weights, a word per step."""
        shape = self.shape()
        width = shape.pe * shape.count * int(self.weight_type().bitwidth())
        return BankedRom(self.weight_depth(), width)

    def pack_weights(self, weights: IntArray, bits: int) -> list[int]:
        """Round by round and turn by turn; see grouped_mvu.sv."""
        s = self.shape()
        split = weights.reshape(s.rounds, s.tap_lanes, s.inputs, s.turns, s.pe)
        return pack_lanes(split.transpose(0, 3, 4, 1, 2).reshape(-1, s.pe * s.count), bits)

    def bias_rom(self) -> ReadOnlyMemory:
        """The bias, where the node has one."""
        shape, acc_bits = self.shape(), int(self.get_output_datatype().bitwidth())
        return ReadOnlyMemory(shape.turns, shape.pe * acc_bits)

    def sums(self) -> LineMemory | None:
        """The running sums, where groups take turns."""
        shape, acc_bits = self.shape(), int(self.get_output_datatype().bitwidth())
        return LineMemory(shape.turns, shape.pe * acc_bits) if shape.turns > 1 else None

    def _way_to_multiply(self) -> str:
        """How products in LUTs are made: see product_single.sv; those of signs are cheap."""
        if self.input_signs() or self.weight_signs():
            return "negated"
        bits = self.factor_bits()
        parts = min(bits) == 4 or (min(bits) == 3 and sum(bits) > 7)
        return "parts" if parts else "multiplied"

    def structures(self) -> dict[str, Structure]:
        """Products, in DSP blocks if both factors are long, what adds them, the running sums."""
        shape, rom, bias, sums = self.shape(), self.weight_rom(), self.bias_rom(), self.sums()
        x_bits, w_bits = self.factor_bits()
        narrow = min(x_bits, w_bits) <= LUT_FACTOR_BITS
        full, acc = x_bits + w_bits, int(self.get_output_datatype().bitwidth())
        product, products = min(full, acc), shape.pe * shape.count
        width = shape.pe * acc
        single = shape.turns == 1 and shape.rounds == 1
        weight_bits = w_bits - self.weight_signs()
        counts: dict[str, float] = {
            "one": 1,
            **loop_counts((shape.turns, shape.rounds, shape.turns)),
            self._way_to_multiply(): products * x_bits * w_bits if narrow else 0,
            "products": products,
            "added": shape.pe * (shape.count - 1) * min(product + 1, acc),
            "sums": width,
            "weight bits": (rom.depth - 1).bit_length(),
            "late": sums.late if sums else 0,
        }
        factors = 2 * (shape.simd * x_bits + products * weight_bits * varying(rom.depth))
        ffs: float = 0 if narrow else factors + 2 * products * full
        if narrow:
            counts["factors"] = factors
            counts["whole"] = products * full
        ffs += shape.pe * tree_registers(shape.count, product, acc)
        ffs += 4 * 3 + 3 * tree_levels(shape.count)
        ffs += counts["loops"] + counts["counters"] + 1
        ffs += rom.registers + counts["weight bits"] + 1 + rom.block
        luts, brams, lutram = float(rom.luts), rom.brams, 0
        if sums is None:
            ffs += 3 * width + 3 if single else 2 * width + 4
        else:
            counts["turned"] = width
            lutram, select, read = sums.in_parts()
            ffs += 3 * width + 3  # what leaves
            ffs += read + width if sums.block or sums.depth > PART_WORDS else width
            if shape.turns >= 4:
                counts["address"] = (shape.turns - 1).bit_length()
                ffs += width + 1 + 2 * counts["address"]
            luts, brams = luts + select, brams + sums.brams
        if self.has_bias():
            address = (bias.depth - 1).bit_length()
            counts["bias bits"] = address
            counts["biased"] = width
            luts, brams = luts + bias.luts, brams + bias.brams
            ffs += bias.registers + address + 1 + bias.block
        table = "luts" if narrow else "dsp"
        return {
            "": Structure(
                counts,
                luts=luts,
                ffs=ffs,
                lutram=lutram,
                bram18=brams,
                dsp=0 if narrow else products,
                table=f"{table} of constants" if rom.depth == 1 else table,
            )
        }


class GroupedMvu_rtl(RtlKernel, GroupedMvu):
    """GroupedMvu with its weights and bias in embedded memories."""

    registers_output = True
    registers_ready = True
    module = "grouped_mvu_rom"
    sources = (
        *(part for part in RTL_PARTS if part not in ("rtl/mvu_front.sv", "rtl/mvu_frame.sv")),
        "rtl/banked_stream.sv",
        "rtl/deep_memory.sv",
        "rtl/turn_memory.sv",
        "rtl/product_single.sv",
        "kernels/grouped_mvu/grouped_back.sv",
        "kernels/grouped_mvu/grouped_mvu.sv",
        "kernels/grouped_mvu/grouped_mvu_rom.sv",
    )

    def rtl_parameters(self) -> dict[str, int | str]:
        shape, x, w = self.shape(), self.get_input_datatype(), self.weight_type()
        name, sums = self.onnx_node.name, self.sums()
        return {
            "Groups": shape.groups,
            "GroupInputs": shape.inputs,
            "GroupOutputs": shape.outputs,
            "Taps": shape.taps,
            "Simd": shape.simd,
            "InWidth": x.bitwidth(),
            "InSigned": int(x.signed()),
            "InBinary": int(self.input_signs()),
            "WeightWidth": w.bitwidth(),
            "WeightBinary": int(self.weight_signs()),
            "AccWidth": self.get_output_datatype().bitwidth(),
            "BlockRam": int(sums.block) if sums else 0,
            "HasBias": int(self.has_bias()),
            "BlockRom": int(self.weight_rom().block),
            "BlockBias": int(self.bias_rom().block),
            "RomBank": self.weight_rom().bank,
            "WeightFile": f"{name}_weights.mem",
            "BiasFile": f"{name}_bias.mem" if self.has_bias() else "",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """Weight and bias images.

        Raises:
            ValueError: weights outside weightDataType, or outputs that outputDataType cannot hold.
        """
        return self.images(model, self.weight_rom(), self.shape().pe)


def _values(datatype: BaseDataType) -> tuple[int, int]:
    """Smallest and largest code of a datatype."""
    return int(datatype.min()), int(datatype.max())


OPS = (GroupedMvu, GroupedMvu_rtl)

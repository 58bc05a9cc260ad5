# SPDX-License-Identifier: Apache-2.0
"""FINN op IntMvu and its RTL backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ....quant.grid import accumulator_bounds
from ..banked import BankedRom
from ..base import RtlKernel
from ..bit_heap import Cells, tree_levels, tree_luts, tree_registers
from ..costs import Structure
from ..memory import ReadOnlyMemory, varying
from ..mvu import LUT_FACTOR_BITS, RTL_PARTS, BiasedMvu
from . import golden

DSP_FACTOR_BITS = 25
"""Bits of the factor of a DSP block that holds two weights, a product apart."""


class IntMvu(BiasedMvu):
    """x @ W + bias: inputs x (.., MW), W (MW, MH) of INT2..INT8, optionally bias (MH,)."""

    golden = staticmethod(golden.run)

    def bounds(self, model: Any, datatype_only: bool = False) -> tuple[int, int]:
        """Return the worst-case output of any input, for these weights or for any weights."""
        x = self.get_input_datatype()
        low, high = int(x.min()), int(x.max())
        shape = (self.get_nodeattr("MW"), self.get_nodeattr("MH"))
        bias = self.bias(model)
        if datatype_only:
            weight = self.weight_type()
            extremes = [np.full(shape, int(w)) for w in (weight.min(), weight.max())]
        else:
            extremes = [self.initializer(model, 1)]
        pairs = [accumulator_bounds(w, low, high, bias) for w in extremes]
        return min(int(p[0].min()) for p in pairs), max(int(p[1].max()) for p in pairs)

    def factor_bits(self) -> tuple[int, int]:
        """Bits of an input and of a weight."""
        return int(self.get_input_datatype().bitwidth()), int(self.weight_type().bitwidth())

    def paired(self) -> bool:
        """Whether one DSP block has room for the products of two outputs."""
        x_bits, w_bits = self.factor_bits()
        return (
            self.get_nodeattr("PE") > 1
            and min(x_bits, w_bits) > LUT_FACTOR_BITS
            and x_bits + 2 * w_bits < DSP_FACTOR_BITS
        )

    def structures(self) -> dict[str, Structure]:
        """Products, in DSP blocks if both factors are long, and what adds them."""
        pe, simd = int(self.get_nodeattr("PE")), int(self.get_nodeattr("SIMD"))
        x_bits, w_bits = self.factor_bits()
        narrow = min(x_bits, w_bits) <= LUT_FACTOR_BITS
        product, bias = x_bits + w_bits, self.bias_rom()
        single = simd * (pe % 2 if self.paired() else pe)
        acc, tags = int(self.get_output_datatype().bitwidth()), self.tag_bits()
        counts: dict[str, float] = {
            "lanes": pe,
            "multiplied": single * x_bits * w_bits if narrow else 0,
            "products": single,
            "added": pe * tree_luts(simd, min(product, acc), acc),
        }
        # The factors of products of their own, the products; sums, and a tag beside both.
        weights = w_bits * varying(self.weight_depth())
        factors = single * 2 * (weights + product) + (2 * simd * x_bits if single else 0)
        if narrow:  # of a few words of weights many bits are constants
            counts["factors"] = factors
        ffs: float = 0 if narrow else factors
        ffs += pe * tree_registers(simd, min(product, acc), acc)
        levels = tree_levels(simd)
        moved = levels > 2  # in LUTs
        ffs += 4 * (1 + tags) + levels * (1 if moved else 1 + tags)
        found = self.frame_structure(counts, "luts" if narrow else "dsp", Cells(0, ffs))
        if narrow:  # few points stand for what adds products in LUTs: nothing in its place
            kept = {name: n for name, n in found.counts.items() if name != "results"}
            found = replace(found, counts=kept)
        luts, ffs, brams = found.luts, found.ffs, found.bram18
        if self.has_bias():
            address = (bias.depth - 1).bit_length()
            luts, brams = luts + bias.luts, brams + bias.brams
            ffs += bias.registers + address + 1 + bias.block
            found = replace(found, counts={**found.counts, "bias bits": address})
        return {
            "": replace(
                found,
                luts=luts,
                ffs=ffs,
                lutram=found.lutram + tags * moved,
                bram18=brams,
                dsp=0 if narrow else (pe * simd + single) // 2,
            )
        }

    def weight_rom(self) -> BankedRom:
        """The weights, a word per step."""
        return BankedRom(*super().weight_rom())

    def bias_rom(self) -> ReadOnlyMemory:
        """The bias, where the node has one."""
        pe, acc_bits = self.get_nodeattr("PE"), self.get_output_datatype().bitwidth()
        return ReadOnlyMemory(int(self.get_nodeattr("MH") // pe), int(pe * acc_bits))


class IntMvu_rtl(RtlKernel, IntMvu):
    """IntMvu with its weights and bias in embedded memories."""

    registers_output = True
    registers_ready = True
    module = "int_mvu_rom"
    primitives = True
    sources = (
        *RTL_PARTS,
        "rtl/banked_stream.sv",
        "rtl/product_single.sv",
        "kernels/int_mvu/product_pair.sv",
        "kernels/int_mvu/int_mvu.sv",
        "kernels/int_mvu/int_mvu_rom.sv",
    )

    def rtl_parameters(self) -> dict[str, int | str]:
        x = self.get_input_datatype()
        name = self.onnx_node.name
        return {
            "Mw": self.get_nodeattr("MW"),
            "Mh": self.get_nodeattr("MH"),
            "Simd": self.get_nodeattr("SIMD"),
            "Pe": self.get_nodeattr("PE"),
            "InWidth": x.bitwidth(),
            "InSigned": int(x.signed()),
            "WeightWidth": self.weight_type().bitwidth(),
            "AccWidth": self.get_output_datatype().bitwidth(),
            "Paired": int(self.paired()),
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
        return self.images(model, self.weight_rom(), self.get_nodeattr("PE"))


OPS = (IntMvu, IntMvu_rtl)

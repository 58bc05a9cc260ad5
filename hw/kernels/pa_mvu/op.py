# SPDX-License-Identifier: Apache-2.0
"""FINN op PaMvu and its RTL backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from qonnx.core.datatype import BaseDataType, DataType

from ....quant.grid import IntArray, accumulator_bounds, limits
from ..base import RtlKernel, pack_lanes
from ..bit_heap import Cells, popcount_cycles, tag, tree_levels
from ..choice import ChosenKernel, implementation_attribute
from ..costs import Structure
from ..mvu import POPCOUNT_PARTS, RTL_PARTS, Mvu
from ..pa_levels import IMPLEMENTATIONS, LEVEL_BITS, Levels, dot_cycles
from ..pa_levels import RTL_PARTS as DOT_PARTS
from ..skin import Bits, Parameters
from . import golden


class PaMvu(ChosenKernel, Mvu):
    """Dot products of level codes: inputs x (.., MW), W (MW, MH), alpha (M+1,), beta (N+1,).

    ``alphaValues`` and ``betaValues`` repeat the codebooks, because FINN asks for estimates without
    the model; `read_constants` fills them in.
    """

    golden = staticmethod(golden.run)
    attributes = {
        **Mvu.attributes,
        "inputDataType": ("s", True, ""),
        "weightDataType": ("s", True, ""),
        "zero": ("i", True, 0),
        "alphaDataType": ("s", True, ""),
        "betaDataType": ("s", True, ""),
        "implementation": implementation_attribute(IMPLEMENTATIONS),
        "alphaValues": ("ints", False, []),
        "betaValues": ("ints", False, []),
    }

    def input_type(self) -> str:
        return str(self.get_nodeattr("inputDataType"))

    def weight_type(self) -> BaseDataType:
        """Datatype of the weight codes, two's complement."""
        return DataType[self.get_nodeattr("weightDataType")]

    def infer_node_datatype(self, model: Any) -> None:
        """Follow the input's datatype, then state the output's."""
        datatype = model.get_tensor_datatype(self.onnx_node.input[0])
        self.set_nodeattr("inputDataType", datatype.name)
        self.read_constants(model)
        super().infer_node_datatype(model)

    def read_constants(self, model: Any) -> None:
        """Copy the codebooks into the attributes.

        Raises:
            ValueError: a codebook that the codes or the declared datatypes do not fit.
        """
        name, zero = self.onnx_node.name, self.get_nodeattr("zero")
        for index, label, codes, at_zero in (
            (2, "alpha", self.weight_type(), zero),
            (3, "beta", self.get_input_datatype(), 0),
        ):
            values = self.initializer(model, index).reshape(-1)
            datatype = DataType[self.get_nodeattr(f"{label}DataType")]
            least, most = limits(LEVEL_BITS)
            least, most = max(least, int(datatype.min())), min(most, int(datatype.max()))
            if values.min() < least or values.max() > most:
                raise ValueError(
                    f"{name}: found {label} {values.min()}..{values.max()}, expected "
                    f"{least}..{most} (declared {datatype.name}, levels of {LEVEL_BITS} bits)"
                )
            if not 0 <= at_zero < len(values) or values[at_zero] != 0:
                raise ValueError(
                    f"{name}: found {label} {values.tolist()}, expected 0 at index {at_zero}, "
                    "which borders and the zero piece stand for"
                )
            low, high = -at_zero, len(values) - 1 - at_zero
            if low < codes.min() or high > codes.max():
                raise ValueError(
                    f"{name}: {label} has the codes {low}..{high}, expected "
                    f"{int(codes.min())}..{int(codes.max())} as declared by {codes.name}"
                )
            self.set_nodeattr(f"{label}Values", [int(v) for v in values])

    def codebooks(self) -> tuple[IntArray, IntArray]:
        """The levels alpha (M+1,) and beta (N+1,).

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
                "the initializers; specialise the graph or run InferDataTypes first"
            )
        return alpha, beta

    def weight_codes(self, model: Any) -> IntArray:
        """The weight codes (MW, MH).

        Raises:
            ValueError: a code that alpha has no level for.
        """
        weights = self.initializer(model, 1)
        low = -self.get_nodeattr("zero")
        high = low + self.codebooks()[0].size - 1
        if not low <= weights.min() <= weights.max() <= high:
            raise ValueError(
                f"{self.onnx_node.name}: found weight codes {weights.min()}..{weights.max()}, "
                f"expected {low}..{high}, the codes alpha has levels for"
            )
        return weights

    def bounds(self, model: Any, datatype_only: bool = False) -> tuple[int, int]:
        self.read_constants(model)
        alpha, beta = self.codebooks()
        if datatype_only:
            shape = (self.get_nodeattr("MW"), self.get_nodeattr("MH"))
            weights = [np.full(shape, a) for a in (alpha.min(), alpha.max())]
        else:
            weights = [alpha[self.weight_codes(model) + self.get_nodeattr("zero")]]
        pairs = [accumulator_bounds(w, int(beta.min()), int(beta.max())) for w in weights]
        return min(int(p[0].min()) for p in pairs), max(int(p[1].max()) for p in pairs)

    def levels(self) -> Levels:
        """The codebooks and the bits of their codes."""
        return Levels(
            *self.codebooks(),
            int(self.get_nodeattr("zero")),
            int(self.get_input_datatype().bitwidth()),
            int(self.weight_type().bitwidth()),
        )

    def structures(self) -> dict[str, Structure]:
        """Each implementation that can compute the node; see README."""
        found = {"literal": self._literal(), "coded": self._coded()}
        if self.levels().is_linear():
            found["planes"] = self._planes()
        return found

    def _literal(self) -> Structure:
        """Pairs of levels are counted, the counts multiplied; see pa_dot_literal.sv."""
        pe, simd, width = self._sizes()
        levels, tags = self.levels(), self.tag_bits()
        lane, counts = levels.literal(simd, width)
        counts = {name: pe * count for name, count in counts.items()}
        counts |= {"lanes": pe, "input levels": simd * (levels.beta.size - 1)}
        stages = tree_levels((levels.alpha.size - 1) * (levels.beta.size - 1))
        moved = stages > 1  # tags beside the tree, in LUTs from three stages on
        marks = Cells(0, (stages + 1) * (1 if moved else 1 + tags))
        dot = lane.times(pe).also(tag(popcount_cycles(simd), tags)).also(marks)
        found = self.frame_structure(counts, "literal", dot)
        return replace(found, lutram=found.lutram + tags * moved)

    def _coded(self) -> Structure:
        """A table per pair of codes."""
        pe, simd, width = self._sizes()
        lane, counts = self.levels().coded(simd, width)
        counts = {"lanes": pe} | {name: pe * count for name, count in counts.items()}
        dot = lane.times(pe).also(tag(dot_cycles(simd), self.tag_bits()))
        return self.frame_structure(counts, "coded", dot)

    def _planes(self) -> Structure:
        """The products of bit planes."""
        pe, simd, width = self._sizes()
        lane = self.levels().planes(simd, width)
        dot = lane.times(pe).also(tag(dot_cycles(simd), self.tag_bits()))
        return self.frame_structure({"lanes": pe}, "planes", dot)

    def _sizes(self) -> tuple[int, int, int]:
        """Lanes, pairs of codes of a lane, bits of a sum."""
        pe, simd = int(self.get_nodeattr("PE")), int(self.get_nodeattr("SIMD"))
        return pe, simd, int(self.get_output_datatype().bitwidth())

    def costs(self) -> dict[str, int]:
        """Estimated LUTs of each implementation: all have the same block RAM."""
        return {name: found.lut for name, found in self.usage().items()}

    def refusal(self, wanted: str) -> str:
        """The codebook is not one of codes that are their own levels."""
        alpha, beta = self.codebooks()
        return (
            f"found implementation {wanted} with levels {alpha.tolist()} and {beta.tolist()}, "
            "expected levels equal to their codes (levels=linear); use coded, literal or auto"
        )


class PaMvu_rtl(RtlKernel, PaMvu):
    """PaMvu with its weight codes in an embedded memory."""

    registers_output = True
    registers_ready = True
    module = "pa_mvu_rom"
    primitives = True
    sources = (
        *RTL_PARTS,
        *POPCOUNT_PARTS,
        *DOT_PARTS,
        "kernels/pa_mvu/pa_mvu.sv",
        "kernels/pa_mvu/pa_mvu_rom.sv",
    )

    def rtl_parameters(self) -> Parameters:
        alpha, beta = self.codebooks()
        return {
            "Mw": self.get_nodeattr("MW"),
            "Mh": self.get_nodeattr("MH"),
            "Simd": self.get_nodeattr("SIMD"),
            "Pe": self.get_nodeattr("PE"),
            "InWidth": self.get_input_datatype().bitwidth(),
            "WeightWidth": self.weight_type().bitwidth(),
            "M": alpha.size - 1,
            "N": beta.size - 1,
            "Zero": self.get_nodeattr("zero"),
            "Alpha": Bits(pack_lanes([alpha], LEVEL_BITS)[0], LEVEL_BITS * alpha.size),
            "Beta": Bits(pack_lanes([beta], LEVEL_BITS)[0], LEVEL_BITS * beta.size),
            "ProductWidth": self.levels().product_bits(),
            "AccWidth": self.get_output_datatype().bitwidth(),
            "Implementation": IMPLEMENTATIONS.index(self.resolved()),
            "BlockRom": int(self.weight_rom().block),
            "WeightFile": f"{self.onnx_node.name}_weights.mem",
        }

    def memories(self, model: Any) -> dict[str, str]:
        """The image of the weight codes.

        Raises:
            ValueError: codes without a level, or outputs that outputDataType cannot hold.
        """
        self.check_outputs(model)
        weights = self.weight_memory(model, self.weight_type())
        return {f"{self.onnx_node.name}_weights.mem": weights}


OPS = (PaMvu, PaMvu_rtl)

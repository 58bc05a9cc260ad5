# SPDX-License-Identifier: Apache-2.0
"""FINN op PaMvu and its RTL backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from qonnx.core.datatype import BaseDataType, DataType

from ....quant.grid import IntArray, accumulator_bounds, limits
from ..base import RtlKernel, pack_lanes
from ..bit_heap import (
    AND,
    Cells,
    gate_outputs,
    gates,
    heap,
    popcount,
    popcount_cycles,
    tag,
    tree_levels,
    tree_registers,
)
from ..choice import ChosenKernel, implementation_attribute
from ..costs import Structure
from ..mvu import POPCOUNT_PARTS, RTL_PARTS, Mvu
from ..pa_levels import IMPLEMENTATIONS, LEVEL_BITS, Levels, signed_digits
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
        pe, simd = int(self.get_nodeattr("PE")), int(self.get_nodeattr("SIMD"))
        alpha, beta = self.codebooks()
        m, n, acc = alpha.size - 1, beta.size - 1, int(self.get_output_datatype().bitwidth())
        product, count = self.levels().product_bits(), simd.bit_length()
        digits = sum(signed_digits(int(v)) for v in np.outer(alpha, beta).flat if v)
        term, levels = min(count + product, acc), tree_levels(m * n)
        counts = {
            "lanes": pe,
            "weight levels": pe * simd * m,
            "input levels": simd * n,
            "scaled": pe * (digits - 1) * (count + product / 2),
            "terms": pe * m * n * term,
        }
        cells = popcount(simd, AND).times(m * n)
        cells = cells.also(Cells(0, m * n * term + tree_registers(m * n, term, acc)))
        cells = cells.times(pe).also(tag(popcount_cycles(simd), self.tag_bits()))
        # A tag beside the tree: one bit where a vector is a step, from three on in LUTs.
        tags, moved = self.tag_bits(), levels > 1
        kept = (levels + 1) * (1 if moved else 1 + tags)
        found = self.frame_structure(counts, "literal", cells.also(Cells(0, kept)))
        return replace(found, lutram=found.lutram + tags * moved)

    def _coded(self) -> Structure:
        """A table per pair of codes; see pa_dot_coded.sv."""
        pe, simd = int(self.get_nodeattr("PE")), int(self.get_nodeattr("SIMD"))
        products = np.outer(*self.codebooks())
        low, high = min(0, int(products.min())), max(0, int(products.max()))
        term = min((high - low).bit_length() or 1, int(self.get_output_datatype().bitwidth()))
        address = int(self.get_input_datatype().bitwidth() + self.weight_type().bitwidth())
        cycles, width = self._cycles(), self._heap_width(self.levels().product_bits())
        cells = heap([simd] * term, width, cycles - 1, low * simd).also(Cells(0, simd * term))
        counts: dict[str, float] = {"lanes": pe}
        if address > 6:  # a LUT of six address bits each, and what selects among them
            counts["tables"] = pe * simd * term * 2.0 ** (address - 6)
        else:  # a LUT holds two tables of five address bits or one of six
            cells = cells.also(Cells(simd * (term if address == 6 else -(-term // 2))))
        return self.frame_structure(
            counts, "coded", cells.times(pe).also(tag(cycles, self.tag_bits()))
        )

    def _planes(self) -> Structure:
        """The products of bit planes; see pa_dot_planes.sv."""
        pe, simd = int(self.get_nodeattr("PE")), int(self.get_nodeattr("SIMD"))
        x_bits = int(self.get_input_datatype().bitwidth())
        w_bits = int(self.weight_type().bitwidth())
        cycles = self._cycles()
        width = self._heap_width(simd.bit_length() - (simd - 1).bit_length() + x_bits + w_bits)
        shifts = [b + c for b in range(w_bits) for c in range(x_bits)]
        sums, carries = gate_outputs(simd)
        heights = [shifts.count(c) * sums + shifts.count(c - 1) * carries for c in range(width)]
        constant = -(simd << (w_bits - 1)) * ((1 << x_bits) - 1)
        used = sum(shift < width for shift in shifts)
        cells = gates(simd).times(used).also(heap(heights, width, cycles - 1, constant))
        return self.frame_structure(
            {"lanes": pe}, "planes", cells.times(pe).also(tag(cycles, self.tag_bits()))
        )

    def _cycles(self) -> int:
        """Cycles of a dot product with a bit heap."""
        return max((int(self.get_nodeattr("SIMD")) - 1).bit_length(), 2) + 3

    def _heap_width(self, product: int) -> int:
        """Bits of a sum of products of so many bits."""
        simd, acc = int(self.get_nodeattr("SIMD")), int(self.get_output_datatype().bitwidth())
        return min(product + (simd - 1).bit_length(), acc)

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

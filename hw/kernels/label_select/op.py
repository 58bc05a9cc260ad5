# SPDX-License-Identifier: Apache-2.0
"""FINN op of label_select: the RTL backend of FINN's LabelSelect."""

from __future__ import annotations

import math
from typing import Any

from finn.custom_op.fpgadataflow.labelselect import LabelSelect

from ....quant.digits import FACTOR_BITS, SCORE_BITS, whole
from ..base import RtlKernel, part_memories
from ..costs import Structure, loop_counts
from ..memory import ReadOnlyMemory
from .golden import run

PRODUCT_BITS = 17
"""Bits of a factor's digit in one product, as in label_score.sv."""
WIDEST = 25
"""Bits of x that a DSP block takes."""


class LabelSelect_rtl(RtlKernel, LabelSelect):
    """Index of the largest score; equal scores give the lowest index (K = 1).

    With ``scoreBits`` the scores are ``x * factor + offset``, of initializers (Labels, n) in
    `digits`.
    """

    lanes = {"PE": "Labels"}
    classifies = True
    outputs_are = "class indices"
    golden = staticmethod(run)
    registers_output = True
    module = "label_select"
    sources = (
        "rtl/loop_counter.sv",
        "rtl/rom_stream.sv",
        "kernels/label_select/label_score.sv",
        "kernels/label_select/label_select.sv",
    )

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {
            **super().get_nodeattr_types(),
            # bits of a score, of its factor and its offset; 0: what comes in is the score
            "scoreBits": ("i", False, 0),
            "factorBits": ("i", False, 1),
            "offsetBits": ("i", False, 1),
        }

    def verify_node(self) -> None:
        """Raise ValueError unless one index is asked for, and scores fit."""
        if self.get_nodeattr("K") != 1:
            raise ValueError(
                f"{self.onnx_node.name}: found K={self.get_nodeattr('K')}, expected 1 (top-1 only)"
            )
        score, factor = (int(self.get_nodeattr(name)) for name in ("scoreBits", "factorBits"))
        if not 0 <= score <= SCORE_BITS or not 0 < factor <= FACTOR_BITS:
            raise ValueError(
                f"{self.onnx_node.name}: found scores of {score} and factors of {factor} bits, "
                f"expected at most {SCORE_BITS} and {FACTOR_BITS}"
            )

    def get_instream_width(self, ind: int = 0) -> int:
        return int(super().get_instream_width(ind)) if ind == 0 else 0

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        return tuple(int(n) for n in super().get_normal_input_shape(ind))

    def infer_node_datatype(self, model: Any) -> None:
        self.verify_node()
        super().infer_node_datatype(model)

    def get_exp_cycles(self) -> int:
        """One input word per cycle, or with ``scoreBits`` in two."""
        words = math.prod(int(n) for n in self.get_folded_input_shape()[:-1])
        return words * (2 if self.get_nodeattr("scoreBits") else 1)

    def get_number_output_values(self) -> int:
        """One index per vector."""
        return math.prod(int(n) for n in self.get_folded_output_shape()[:-1])

    def rtl_parameters(self) -> dict[str, int | str]:
        datatype = self.get_input_datatype()
        return {
            "Lanes": self.get_nodeattr("PE"),
            "InBits": datatype.bitwidth(),
            "InSigned": int(datatype.signed()),
            "Folds": self.get_nodeattr("Labels") // self.get_nodeattr("PE"),
            "OutBits": self.get_output_datatype().bitwidth(),
            **self._score_parameters(),
        }

    def _score_parameters(self) -> dict[str, int | str]:
        if not self.get_nodeattr("scoreBits"):
            return {}
        rom = self._rom()
        return {
            "ScoreBits": self.get_nodeattr("scoreBits"),
            "FactorBits": self.get_nodeattr("factorBits"),
            "OffsetBits": self.get_nodeattr("offsetBits"),
            "BlockRom": int(rom.block),
            "RomParts": len(rom.parts),
            "ParamFile": f"{self.onnx_node.name}_scores{'.mem' if len(rom.parts) == 1 else ''}",
        }

    def _rom(self) -> ReadOnlyMemory:
        """Factors and offsets, a word for the labels of a word of scores."""
        pe = int(self.get_nodeattr("PE"))
        bits = int(self.get_nodeattr("factorBits")) + int(self.get_nodeattr("offsetBits"))
        return ReadOnlyMemory(int(self.get_nodeattr("Labels")) // pe, pe * bits, parted=True)

    def memories(self, model: Any) -> dict[str, str]:
        """The image of factors and offsets.

        Raises:
            ValueError: they are missing, of another shape, or wider than stated.
        """
        if not self.get_nodeattr("scoreBits"):
            return {}
        parts = [
            (self._constant(model, 1, "factorBits"), int(self.get_nodeattr("factorBits"))),
            (self._constant(model, 2, "offsetBits"), int(self.get_nodeattr("offsetBits"))),
        ]
        pe, rom = int(self.get_nodeattr("PE")), self._rom()
        words, at = [0] * rom.depth, 0
        for lane in range(pe):
            for values, bits in parts:
                for word, value in enumerate(values[lane::pe]):
                    words[word] |= (value & ((1 << bits) - 1)) << at
                at += bits
        return part_memories(f"{self.onnx_node.name}_scores", words, rom.parts)

    def _constant(self, model: Any, position: int, width: str) -> list[int]:
        """The integers (Labels,) of an initializer in digits."""
        node, bits = self.onnx_node, int(self.get_nodeattr(width))
        name = node.input[position] if position < len(node.input) else "none"
        value = model.get_initializer(name)
        labels = int(self.get_nodeattr("Labels"))
        if value is None or value.ndim != 2 or len(value) != labels:
            found = "no initializer" if value is None else f"shape {value.shape}"
            raise ValueError(f"{node.name}: {name} has {found}, expected digits ({labels}, n)")
        values = whole(value.astype("int64"))
        if any(v >> bits - 1 not in (-1, 0) for v in values):
            raise ValueError(f"{node.name}: {name} does not fit {width} {bits}")
        return values

    def structures(self) -> dict[str, Structure]:
        """A tree of comparisons among the lanes, a register per level, and one with the best so
        far."""
        values = {k: int(v) for k, v in self.rtl_parameters().items() if k != "ParamFile"}
        lanes, folds = values["Lanes"], values["Folds"]
        score = int(self.get_nodeattr("scoreBits")) or values["InBits"]
        levels, loops = (lanes - 1).bit_length(), loop_counts((folds,))
        compared = chosen = registers = moved = 0
        # Lanes below each node of a level, the registers that its last one passed side by side.
        nodes, passed, index = [1] * lanes, 0, 0
        for level in range(1, levels + 1):
            pairs = [sum(nodes[i : i + 2]) for i in range(0, len(nodes), 2)]
            both = len(nodes) // 2
            kept = score if level < levels or folds > 1 else 0  # the last score of all is not
            compared += both * score
            chosen += both * (kept + level)
            registers += both * (kept + level)
            if len(nodes) % 2:  # alone, its word passes, three times and more as a shift register
                passed += 1
                registers += score + index
            else:
                moved += (score + index) * (passed > 2)
                registers -= passed * (score + index) * (passed > 2)
                passed, index = 1, level
            nodes = pairs
        counts = {
            "one": 1,
            "compared": compared,
            "chosen": chosen,
            "registers": registers,
            "levels": levels,
            "best": score if folds > 1 else 0,
            "index": values["OutBits"] if folds > 1 else 0,
            "out": values["OutBits"] if folds * lanes > 1 else 0,
            **loops,
        }
        found = Structure(counts, luts=int(folds * lanes == 1), lutram=moved)
        return {"": self._scored(found) if self.get_nodeattr("scoreBits") else found}

    def _scored(self, select: Structure) -> Structure:
        """The same behind a product per digit of a factor and a sum for each of these."""
        pe, rom = int(self.get_nodeattr("PE")), self._rom()
        score, factor, offset = (
            int(self.get_nodeattr(name)) for name in ("scoreBits", "factorBits", "offsetBits")
        )
        source = self.get_input_datatype()
        x = int(source.bitwidth()) + (not source.signed())
        digits = max(1, -(-(factor - 1) // PRODUCT_BITS))
        held = rom.registers
        offsets = round(held * offset / (factor + offset))
        # Products wait for the sums below them, the low bits of sums for those above: from three
        # cycles on in shift registers.
        widths = [x + min(PRODUCT_BITS + 1, factor - PRODUCT_BITS * k) for k in range(digits)]
        waits = widths[0] + 2 * sum(widths[1:2])
        ready = PRODUCT_BITS * sum(digits - k for k in range(digits - 2))
        moved = sum(widths[2:]) + PRODUCT_BITS * max(0, digits - 2)
        return Structure(
            {
                **select.counts,
                "added": pe * sum(score - PRODUCT_BITS * k for k in range(digits)),
            },
            luts=select.luts + rom.luts,
            ffs=2 * held
            + offsets
            + pe * (x + digits * score - ready + waits)
            + score  # the word that is compared
            + digits
            + (pe - 1).bit_length()
            + 5,
            lutram=select.lutram + pe * moved,
            bram18=rom.brams,
            dsp=pe * digits * (1 if x <= WIDEST else 2),
        )


OPS = (LabelSelect_rtl,)

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of label_select: random, equal and extreme scores."""

from __future__ import annotations

import numpy as np

from ....quant.grid import IntArray, limits, type_format
from ....sim.cases import Case, Operand


def _case(datatype: str, labels: int, pe: int, index: str = "UINT8") -> Case:
    low, high = limits(*type_format(datatype))
    return Case(
        name=f"{datatype.lower()}_l{labels}_pe{pe}",
        op_type="LabelSelect",
        attrs={
            "Labels": labels,
            "PE": pe,
            "K": 1,
            "inputDataType": datatype,
            "outputDataType": index,
            "numInputVectors": [1, 1, 1],
        },
        operands=(Operand("scores", datatype, (1, 1, 1, labels), low, high),),
        output_types=(index,),
        worst=lambda _: _ties(labels, low, high),
    )


def _ties(labels: int, low: int, high: int) -> list[list[IntArray]]:
    """All scores equal, every pair of neighbours tied at the top, every label alone at the top."""
    frames = [np.full(labels, value) for value in (low, high)]
    for label in range(labels):
        alone = np.full(labels, low)
        alone[label] = high
        pair = alone.copy()
        pair[label - 1] = high
        frames += [alone, pair]
    return [[frame.astype(np.int64).reshape(1, 1, 1, labels)] for frame in frames]


SMOKE = [
    _case("INT16", 6, 1),
    _case("INT3", 10, 5),
    _case("UINT4", 12, 4),
]

FULL = [
    _case("INT20", 6, 6),
    _case("INT20", 6, 2),
    _case("INT20", 6, 3),
    _case("INT12", 7, 7),
    _case("BINARY", 9, 3),
    _case("UINT8", 1, 1),
    _case("INT10", 100, 10),
    _case("INT4", 300, 20, "UINT16"),
]

# SPDX-License-Identifier: Apache-2.0
"""Parameter sets of label_select: random, equal and extreme scores."""

from __future__ import annotations

import numpy as np

from ....quant.digits import DIGIT_BITS, DIGIT_TYPE, digits
from ....quant.grid import IntArray, limits, type_format
from ....sim.cases import Case, Operand


def _case(
    datatype: str,
    labels: int,
    pe: int,
    index: str = "UINT8",
    vectors: tuple[int, int, int] = (1, 1, 1),
) -> Case:
    low, high = limits(*type_format(datatype))
    size = "" if vectors == (1, 1, 1) else f"_{vectors[1]}x{vectors[2]}"
    return Case(
        name=f"{datatype.lower()}_l{labels}_pe{pe}{size}",
        op_type="LabelSelect",
        attrs={
            "Labels": labels,
            "PE": pe,
            "K": 1,
            "inputDataType": datatype,
            "outputDataType": index,
            "numInputVectors": list(vectors),
        },
        operands=(Operand("scores", datatype, (*vectors, labels), low, high),),
        output_types=(index,),
        worst=lambda _: _ties(labels, low, high, vectors),
    )


def _ties(labels: int, low: int, high: int, vectors: tuple[int, int, int]) -> list[list[IntArray]]:
    """All scores equal, every pair of neighbours tied at the top, every label alone at the top:
    one after another over the pixels of as many pictures as that takes."""
    scores = [np.full(labels, value) for value in (low, high)]
    for label in range(labels):
        alone = np.full(labels, low)
        alone[label] = high
        pair = alone.copy()
        pair[label - 1] = high
        scores += [alone, pair]
    pixels = int(np.prod(vectors))
    frames = -(-len(scores) // pixels)
    filled = np.resize(np.array(scores, dtype=np.int64), (frames, *vectors, labels))
    return [[frame] for frame in filled]


def _scored(
    datatype: str,
    labels: int,
    pe: int,
    factor: int,
    offset: int,
    vectors: tuple[int, int, int] = (1, 1, 1),
    equal: bool = False,
) -> Case:
    """Factors and offsets of so many bits; or ``equal``, where the first and last label have the
    same, the largest."""
    low, high = limits(*type_format(datatype))
    bound = max(-low, high) * (1 << factor - 1) + (1 << offset - 1)

    def constants(rng: np.random.Generator) -> list[IntArray]:
        factors, offsets = (
            [int.from_bytes(rng.bytes(16), signed=True) >> 128 - bits for _ in range(labels)]
            for bits in (factor, offset)
        )
        factors[0], factors[-1] = -(1 << factor - 1), (1 << factor - 1) - 1
        offsets[0], offsets[-1] = -(1 << offset - 1), (1 << offset - 1) - 1
        if equal:
            factors[0], offsets[0] = factors[-1], offsets[-1]
        return [digits(factors), digits(offsets)]

    shapes = [(labels, -(-(bits - 1) // DIGIT_BITS)) for bits in (factor, offset)]
    low_digit, high_digit = limits(*type_format(DIGIT_TYPE))
    plain = _case(datatype, labels, pe, vectors=vectors)
    return Case(
        name=f"{plain.name}_f{factor}_o{offset}" + ("_equal" if equal else ""),
        op_type="LabelSelect",
        attrs={
            **plain.attrs,
            "scoreBits": bound.bit_length() + 1,
            "factorBits": factor,
            "offsetBits": offset,
        },
        operands=(
            *plain.operands,
            *(
                Operand(name, DIGIT_TYPE, shape, low_digit, high_digit, streamed=False)
                for name, shape in zip(("factors", "offsets"), shapes, strict=True)
            ),
        ),
        output_types=plain.output_types,
        initializers=constants,
        worst=plain.worst,
    )


SMOKE = [
    _case("INT16", 6, 1),
    _case("INT23", 6, 1),  # Bi-ShuffleNet's
    _case("UINT4", 12, 4),
    _case("INT10", 2, 2, vectors=(1, 4, 5)),
    _case("INT12", 7, 7),  # a tree with a missing leaf
    _scored("INT16", 10, 1, 28, 40),  # a scale per label
    _scored("INT9", 24, 3, 34, 40, vectors=(1, 2, 2)),
    _scored("INT8", 6, 3, 20, 24, vectors=(1, 3, 4)),
    _scored("INT12", 6, 2, 18, 30, equal=True),
]

FULL = [
    _case("INT3", 10, 5),
    _case("INT14", 2, 1, vectors=(1, 3, 3)),
    _case("INT6", 7, 7, vectors=(1, 5, 4)),
    _case("INT8", 6, 3, vectors=(1, 2, 6)),
    _case("UINT4", 1, 1, vectors=(1, 4, 4)),
    _case("INT20", 6, 6),
    _case("INT20", 6, 2),
    _case("INT20", 6, 3),
    _case("BINARY", 9, 3),
    _case("UINT8", 1, 1),
    _case("INT10", 100, 10),
    _case("INT4", 300, 20, "UINT16"),
    _scored("INT20", 250, 1, 64, 99),
    _scored("UINT8", 9, 9, 8, 6, vectors=(1, 2, 2)),
    _scored("INT9", 6, 3, 40, 50, vectors=(1, 3, 4)),
    _scored("INT27", 7, 1, 19, 33),
]

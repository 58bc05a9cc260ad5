# SPDX-License-Identifier: Apache-2.0
"""Codes that count from another number than 0: from the least one where weights are -1 and +1, from
that of a border where one is put around a map.

A border in hardware is code 0. What counting from another number leaves away is the same for every
input: products take it in as a bias.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx

from .state import Lowering

COUNTED_BITS = 4
"""Most bits of signed codes that become counts from 0 where weights are -1 and +1. Wider ones are
factors of the first layer, in DSP blocks."""
MOVES = ("Flatten", "Reshape", "MaxPool", "Resize", "Upsample")
"""Ops between a quantiser and the products that read it, which know codes that count so."""


def counts_from(state: Lowering, name: str, first: int, last: int, scale: Fraction) -> int:
    """Return the code of a quantised tensor that is 0 in hardware.

    Args:
        state: the lowering.
        name: the tensor.
        first: its smallest code.
        last: its largest one.
        scale: what one step stands for.
    """
    narrow = first < 0 and max(-first, last + 1) <= 1 << COUNTED_BITS - 1
    if narrow and _read_by_products(state, name, None):
        return first
    borders = _borders(state, name)
    if len(borders) != 1:
        return 0
    code = Fraction(borders.pop()) / scale
    inside = code.denominator == 1 and first <= code <= last
    if inside and _read_by_products(state, name, float(code * scale)):
        return int(code)
    return 0


def _borders(state: Lowering, name: str) -> set[float]:
    """The numbers, but for 0, that are put around a tensor."""
    found: set[float] = set()
    for node in state.graph.consumers[name]:
        if node.op_type == "Pad" and (value := border_value(state, node)):
            found.add(value)
        if node.op_type in (*MOVES, "Pad"):
            found |= _borders(state, node.output[0])
    return found


def border_value(state: Lowering, node: onnx.NodeProto) -> float | None:
    """Return the number that a Pad puts around a map; None where it mirrors or computes it."""
    if state.graph.attributes(node).get("mode", "constant") != "constant":
        return None
    given = state.graph.parameter(node, 2, "value")
    if given is None:
        return None if len(node.input) > 2 and node.input[2] else 0.0
    return float(given.reshape(())) if given.size == 1 else None


def _read_by_products(state: Lowering, name: str, border: float | None) -> bool:
    """Whether only products read a tensor, of codes as they are; without a border of weights -1 and
    +1, which take one bit then, else behind borders of that number."""
    readers = state.graph.consumers[name]
    return (
        bool(readers)
        and not state.graph.is_output(name)
        and all(_counts(state, reader, name, border) for reader in readers)
    )


def _counts(state: Lowering, node: onnx.NodeProto, name: str, border: float | None) -> bool:
    attributes = state.graph.attributes(node)
    if attributes.get("mode") == "linear":
        return False
    if node.op_type in MOVES:
        return _read_by_products(state, node.output[0], border)
    if node.op_type == "Pad" and border is not None:
        same = border_value(state, node) == border
        return same and _read_by_products(state, node.output[0], border)
    if node.op_type not in ("Conv", "Gemm", "MatMul") or any(attributes.get("pads", ())):
        return False
    if node.input[0] != name or border is not None:
        return node.input[0] == name
    weight = state.graph.constant(node.input[1])
    if weight is not None:
        return bool(np.all(np.abs(weight) == 1))
    quantiser = state.graph.producer.get(node.input[1])
    return quantiser is not None and quantiser.op_type == "BipolarQuant"

# SPDX-License-Identifier: Apache-2.0
"""One order for flattenings: in front of what treats all values alike, such as 2x - 1."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from .clean_state import Cleaning

ALIKE = ("Add", "Sub", "Mul", "Div", "Relu", "Clip", "Neg")
"""Ops that treat all values alike where their constants are single numbers."""


def keep_flattening(state: Cleaning, node: onnx.NodeProto, types: Sequence[onnx.TypeProto]) -> None:
    """Keep a Reshape or Flatten, in front of the nodes before it that treat all values alike.

    The tensors between keep their names, and have its shape from now on.
    """
    moved: list[onnx.NodeProto] = []
    names = [node.input[0], node.output[0]]
    reader = node
    while (before := _alike(state, names[0], reader)) is not None:
        moved.insert(0, before)
        names.insert(0, next(n for n in before.input if n not in state.constants))
        reader = before
    if moved:
        node.input[0], node.output[0] = names[:2]
    state.keep(node, types)
    if not moved:
        return
    place = next(i for i, kept in enumerate(state.nodes) if kept.name == moved[0].name)
    state.nodes.insert(place, state.nodes.pop())
    others = state.readers.get(names[0], [])
    state.readers[names[0]] = [node if n.name == moved[0].name else n for n in others]
    for before, old, now, made in zip(moved, names, names[1:], names[2:], strict=False):
        before.input[:] = [now if n == old else n for n in before.input]
        before.output[0] = made
        state.producer[made] = before
        state.types[made] = types[0]
        state.readers[now] = [before]


def _alike(state: Cleaning, name: str, reader: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return what makes a tensor if it treats all values alike, and ``reader`` alone reads it."""
    node = state.producer.get(name)
    if node is None or node.op_type not in ALIKE:
        return None
    outputs = {value.name for value in state.proto.graph.output}
    alone = [n.name for n in state.readers.get(name, ())] == [reader.name] and name not in outputs
    computed = [n for n in node.input if n and n not in state.constants]
    numbers = (state.shape(n) for n in node.input if n in state.constants)
    single = all(shape in ((), (1,)) for shape in numbers)
    return node if alone and single and len(computed) == 1 else None

# SPDX-License-Identifier: Apache-2.0
"""Heads: the named outputs of a network, and what the numbers of each stand for.

A dataflow graph has one head or several, in the order of its outputs. They are written into the
graph as metadata; whoever decodes, compares or draws an output reads them there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias, get_args

import onnx

HEADS = "andpop.heads"
"""Model metadata key of the list of heads, JSON."""

Kind: TypeAlias = Literal["class", "class_map", "map", "raw"]
"""Class index of a picture, class index per pixel, integers per pixel, any integers."""


@dataclass(frozen=True)
class Head:
    """One output of a network.

    Attributes:
        name: as the network names it, unique among its heads.
        kind: what its integers stand for.
        tensor: graph output that carries it.
        logits: tensor the class was picked from; empty for heads that pick none.
    """

    name: str
    kind: Kind
    tensor: str
    logits: str = ""


def write_heads(model: onnx.ModelProto, heads: list[Head]) -> None:
    """Write the heads of a graph into it, in the order of its outputs."""
    kept = [entry for entry in model.metadata_props if entry.key != HEADS]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=HEADS, value=json.dumps([asdict(head) for head in heads]))


def heads_of(model: onnx.ModelProto) -> list[Head]:
    """Return the heads of a dataflow graph, in the order of its outputs.

    Raises:
        ValueError: the graph carries no heads, or others than its outputs.
    """
    text = next((e.value for e in model.metadata_props if e.key == HEADS), None)
    if text is None:
        raise ValueError(
            f"{model.graph.name}: found no heads, expected a dataflow graph of this version; "
            "build it again"
        )
    heads = [Head(**entry) for entry in json.loads(text)]
    outputs = [value.name for value in model.graph.output]
    if [head.tensor for head in heads] != outputs or any(
        head.kind not in get_args(Kind) for head in heads
    ):
        raise ValueError(
            f"{model.graph.name}: found the heads {[(h.name, h.kind) for h in heads]} for the "
            f"outputs {outputs}; build it again"
        )
    return heads

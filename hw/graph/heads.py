# SPDX-License-Identifier: Apache-2.0
"""Heads: the named outputs of a network, and what the numbers of each stand for.

A dataflow graph has one head or several, in the order of its outputs. They are written into the
graph as metadata; whoever decodes, compares or draws an output reads them there. A network may say
in its own metadata that an output is no logits, but integers to be given out as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    import onnx

HEADS = "andpop.heads"
"""Model metadata key of the list of heads, JSON."""

KINDS = "andpop.head_kinds"
"""Model metadata key of a network: output -> kind, JSON; of outputs left out, logits decide."""

SOFTWARE = "andpop.software"
"""Model metadata key of a network: output -> [function, best], JSON; see `Software`."""

Kind: TypeAlias = Literal["class", "class_map", "map", "raw"]
"""Class index of a picture, class index per pixel, integers per pixel, any integers."""


class HeadsError(ValueError):
    """What a graph says of its heads cannot be used; the message is one line for the user."""


@dataclass(frozen=True)
class Software:
    """What software makes of the logits of a head.

    Attributes:
        function: Softmax, LogSoftmax or Sigmoid; empty for none.
        best: how many classes a TopK gives; 0 without one.
        factors, offsets: of every label: its logit is ``factor * integer + offset``.
    """

    function: str
    best: int
    factors: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()


@dataclass(frozen=True)
class Head:
    """One output of a network.

    Attributes:
        name: as the network names it, unique among its heads.
        kind: what its integers stand for.
        tensor: graph output that carries it.
        logits: tensor the class was picked from; empty for heads that pick none.
        software: what the network computes behind these logits; None for nothing.
    """

    name: str
    kind: Kind
    tensor: str
    logits: str = ""
    software: Software | None = None


def write_heads(model: onnx.ModelProto, heads: list[Head]) -> None:
    """Write the heads of a graph into it, in the order of its outputs."""
    _write(model, HEADS, json.dumps([asdict(head) for head in heads]))


def heads_of(model: onnx.ModelProto) -> list[Head]:
    """Return the heads of a dataflow graph, in the order of its outputs.

    Raises:
        HeadsError: the graph carries no heads, damaged ones, or others than its outputs.
    """
    text = next((e.value for e in model.metadata_props if e.key == HEADS), None)
    if text is None:
        raise HeadsError(
            f"{model.graph.name}: found no heads, expected a dataflow graph of this version; "
            "build it again"
        )
    try:
        heads = [_head(**entry) for entry in json.loads(text)]
    except (ValueError, TypeError, RecursionError) as error:
        raise HeadsError(
            f"{model.graph.name}: found no list of heads in its metadata {HEADS}; build it again"
        ) from error
    outputs = [value.name for value in model.graph.output]
    if [head.tensor for head in heads] != outputs or any(
        head.kind not in get_args(Kind) for head in heads
    ):
        raise HeadsError(
            f"{model.graph.name}: found the heads {[(h.name, h.kind) for h in heads]} for the "
            f"outputs {outputs}; build it again"
        )
    return heads


def _head(software: Mapping[str, Any] | None = None, **entry: Any) -> Head:
    made = None if software is None else Software(**software)
    return Head(**entry, software=made)


def write_software(network: onnx.ModelProto, found: Mapping[str, Software]) -> None:
    """Write into a network what software makes of its outputs, by their names."""
    rows = {name: [entry.function, entry.best] for name, entry in found.items()}
    _write(network, SOFTWARE, json.dumps(rows) if rows else None)


def software_of(network: onnx.ModelProto) -> dict[str, Software]:
    """Return what software makes of the outputs of a network that was cleaned."""
    text = next((e.value for e in network.metadata_props if e.key == SOFTWARE), "{}")
    return {name: Software(*row) for name, row in json.loads(text).items()}


def write_kinds(network: onnx.ModelProto, kinds: Mapping[str, Kind]) -> None:
    """Write into a network what its outputs are to be, by their names."""
    _write(network, KINDS, json.dumps(dict(kinds)) if kinds else None)


def kinds_of(network: onnx.ModelProto) -> dict[str, Kind]:
    """Return the kinds a network's own metadata asks for; empty where it asks for none.

    Raises:
        HeadsError: the entry names no output, or no kind.
    """
    text = next((e.value for e in network.metadata_props if e.key == KINDS), None)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HeadsError(f"metadata {KINDS}: found no JSON, expected output -> kind") from error
    if not isinstance(found, dict):
        raise HeadsError(f"metadata {KINDS}: found no object, expected output -> kind")
    check_kinds(network, found)
    return found


def check_kinds(network: onnx.ModelProto, kinds: Mapping[str, Kind]) -> None:
    """Check that kinds are asked for by name and of outputs that are there.

    Raises:
        HeadsError: one is not.
    """
    outputs = [value.name for value in network.graph.output]
    for name, kind in kinds.items():
        if name not in outputs:
            raise HeadsError(f"heads: found the output {name!r}, expected one of {outputs}")
        if not isinstance(kind, str) or kind not in get_args(Kind):
            raise HeadsError(
                f"heads: found the kind {kind!r} of {name}, expected one of "
                f"{', '.join(get_args(Kind))}"
            )


def _write(model: onnx.ModelProto, key: str, value: str | None) -> None:
    kept = [entry for entry in model.metadata_props if entry.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    if value is not None:
        model.metadata_props.add(key=key, value=value)

# SPDX-License-Identifier: Apache-2.0
"""The part of a network in front of nodes whose results have no known size, for `explain`."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx
from onnx import TensorProto, helper

from .clean import clean
from .qonnx_graph import LoweringError


@dataclass
class Prepared:
    """A network as far as it can be prepared.

    Attributes:
        network: as `clean.clean` gives it; None where nothing of it is left.
        refused: what `clean` refused, and left in it.
        lost: nodes that are not in it, in their order -> the refused one that each waits for, or
            that it is.
        reasons: refused node of these -> why.
        open: outputs of the network that others of these read -> the refused one behind them.
    """

    network: onnx.ModelProto | None = None
    refused: list[LoweringError] = field(default_factory=list)
    lost: dict[str, tuple[onnx.NodeProto, str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)


def prepare(model: onnx.ModelProto, notes: list[str]) -> Prepared:
    """Prepare somebody else's network, without what nobody can tell the size of.

    Args:
        model: as the loader gives it.
        notes: collects what is left to software, a line each.

    Raises:
        LoweringError: a node that preparing itself has made, or the first one of all.
        ModelError: the graph makes no sense, or is too large.
    """
    found = Prepared()
    while True:
        refused: list[LoweringError] = []
        said: list[str] = []
        try:
            network = clean(model, refused.append, said)
        except LoweringError:
            if not refused:
                raise
            cause = _first_of(model, [error.node.name for error in refused])
            error = next((e for e in refused if e.node.name == cause), refused[-1])
            model = _without(model, error, found)
            if not model.graph.output:
                return found
            continue
        notes += said
        found.network, found.refused = network, refused
        made = {value.name for value in network.graph.output}
        found.open = {name: of for name, of in found.open.items() if name in made}
        return found


def _first_of(model: onnx.ModelProto, refused: list[str]) -> str:
    """The first refused node that the last one depends on."""
    producer = {name: node for node in model.graph.node for name in node.output if name}
    seen: set[str] = set()
    ways = [node for node in model.graph.node if node.name == refused[-1]]
    while ways:
        node = ways.pop()
        if node.name not in seen:
            seen.add(node.name)
            ways += [producer[name] for name in node.input if name in producer]
    return next(name for name in refused if name in seen or name == refused[-1])


def _without(model: onnx.ModelProto, error: LoweringError, found: Prepared) -> onnx.ModelProto:
    """A network without a node and all that depends on it; what these read are outputs.

    Raises:
        LoweringError: ``error``, of a node that is not in the network.
    """
    refused = error.node.name
    gone: dict[str, onnx.NodeProto] = {}
    lost: set[str] = set()
    computed = {value.name for value in model.graph.input}
    computed -= {tensor.name for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.name == refused or lost.intersection(node.input):
            gone[node.name] = node
            lost.update(node.output)
        else:
            kept.append(node)
            if computed.intersection(node.input):
                computed.update(node.output)
    if refused not in gone:
        raise error
    found.lost = {**{name: (node, refused) for name, node in gone.items()}, **found.lost}
    found.reasons[refused] = error.why
    made = {name for node in kept for name in node.output} & computed
    outputs = [value for value in model.graph.output if value.name not in lost]
    names = {value.name for value in outputs}
    for node in gone.values():
        for name in node.input:
            if name in made and name not in names:
                names.add(name)
                found.open[name] = refused
                outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    left = onnx.ModelProto()
    left.CopyFrom(model)
    del left.graph.node[:], left.graph.output[:]
    left.graph.node.extend(kept)
    left.graph.output.extend(outputs)
    return left

# SPDX-License-Identifier: Apache-2.0
"""What a network computes behind its logits: left to software where no class depends on it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx

from ..kernels.base import node_attributes
from .clean_state import Cleaning
from .heads import Software, kinds_of, write_kinds, write_software
from .plain_form import bias_behind, ends_graph, with_bias
from .qonnx_graph import LoweringError

CURVES = ("LogSoftmax", "Sigmoid", "Softmax")
"""Functions that keep the order of logits."""
PICKS = ("ArgMax", "TopK")
"""What picks classes of logits, of equal ones the first."""
BEHIND = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze")
"""What may stand between these and the output."""


def software_nodes(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the nodes behind the logits of each output: from the first curve or pick
    that only such nodes follow."""
    producer = {name: node for node in graph.node for name in node.output}
    read: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            read.setdefault(name, []).append(node.name)
    outputs = {value.name for value in graph.output}
    found: set[str] = set()
    for value in graph.output:
        name, chain = value.name, list[str]()
        while (node := producer.get(name)) is not None:
            ends = node.op_type in (*CURVES, *PICKS)
            if not ends and node.op_type not in BEHIND:
                break
            if not _alone(node, read, outputs, found | set(chain)):
                break
            chain.append(node.name)
            if ends:
                found.update(chain)
            name = node.input[0]
    return found


def _alone(
    node: onnx.NodeProto,
    read: dict[str, list[str]],
    outputs: Collection[str],
    behind: Collection[str],
) -> bool:
    """Whether what a node gives goes to outputs and to nodes behind the logits alone."""
    return all(set(read.get(name, ())) <= set(behind) for name in node.output if name) and any(
        name in outputs or read.get(name) for name in node.output
    )


def leave_to_software(state: Cleaning, node: onnx.NodeProto, notes: list[str]) -> None:
    """Take the logits in the place of what a node makes of them.

    Raises:
        LoweringError: it looks along another axis than that of the classes, or picks the least
            logits, or the last of equal ones.
    """
    logits, attributes = node.input[0], node_attributes(node)
    if attributes.get("largest", 1) != 1 or attributes.get("select_last_index", 0):
        raise LoweringError(
            node, "picks the least logits, or the last of equal ones, expected the first largest"
        )
    for name in node.output:
        if name:
            state.alias[name] = logits
            state.types[name] = state.types[logits]
    if node.op_type in BEHIND:
        return
    shape = state.shape(logits)
    _note_software(state, node, logits, shape[1] if len(shape) > 1 else 1)
    if node.op_type != "Sigmoid":
        default = {"ArgMax": 0, "TopK": -1}.get(node.op_type, 1 if state.opset < 13 else -1)
        axis = attributes.get("axis", default)
        if len(shape) < 2 or axis % len(shape) != 1:
            raise LoweringError(
                node, f"looks along axis {axis} of {shape}, expected axis 1, that of the classes"
            )
    last = "of which the hardware gives the class" if shape[1] > 1 else "whose sign decides"
    kinds = kinds_of(state.proto)
    ends = _outputs_behind(state, node)
    if any(kinds.get(name) in ("raw", "map") for name in ends):
        last = "which leave as integers"
    elif node.op_type == "Sigmoid" and shape[1] > 1:
        # Each decides by itself: no class is picked of them.
        write_kinds(state.proto, {**{name: "raw" for name in ends}, **kinds})
        last = "which leave as integers: a label holds where its logit is 0 or more"
    # What infer tells is of a network that finds one class of a picture, and nothing else.
    elif len(state.proto.graph.output) == 1 and all(size == 1 for size in shape[2:]):
        if node.op_type == "TopK":
            last += "; andpop infer tells the others of the best"
        elif node.op_type in CURVES:
            last += "; andpop infer tells the probabilities"
    notes.append(f"{node.name} ({node.op_type}) is left to software: it reads logits, {last}")


def _outputs_behind(state: Cleaning, node: onnx.NodeProto) -> list[str]:
    """The graph's outputs that a node behind logits leads to."""
    outputs = [value.name for value in state.proto.graph.output]
    reached, waiting = set[str](), list(node.output)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += [out for reader in state.readers.get(name, ()) for out in reader.output]
    return [name for name in outputs if name in reached]


def _note_software(state: Cleaning, node: onnx.NodeProto, logits: str, labels: int) -> None:
    """Note what a node makes of logits; a pick behind a function adds to it."""
    was, best = state.software.get(logits, Software("", 0)), 0
    if node.op_type == "TopK":
        count = state.value(node.input[1]) if len(node.input) > 1 else None
        given = node_attributes(node).get("k", 1) if count is None else count.reshape(())
        best = min(int(given), labels)
    function = node.op_type if node.op_type in CURVES else was.function
    state.software[logits] = Software(function, max(best, was.best))


def _end(state: Cleaning, output: str) -> str:
    while output in state.alias:
        output = state.alias[output]
    return output


def drop_constants(state: Cleaning, notes: list[str]) -> None:
    """Drop outputs that are constants beside computed ones: a network that ends in a QuantTensor of
    Brevitas has its scale, zero point and bits for outputs, too."""
    graph = state.proto.graph
    fixed = [v.name for v in graph.output if _end(state, v.name) in state.constants]
    if not fixed or len(fixed) == len(graph.output):
        return
    kept = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in graph.output
            if v.name not in fixed]  # fmt: skip
    del graph.output[:]
    graph.output.extend(kept)
    write_kinds(state.proto, {n: k for n, k in kinds_of(state.proto).items() if n not in fixed})
    notes.append(f"outputs that are constants are left out: {', '.join(fixed)}")


def join_outputs(state: Cleaning, software: Collection[str]) -> None:
    """Name outputs as the tensors they are; one that ``software`` nodes make of logits that are an
    output as well goes, and so does a second one of the same logits."""
    graph = state.proto.graph
    kinds = kinds_of(state.proto)
    made = {name for n in graph.node if n.name in software for name in n.output}
    kept: list[onnx.ValueInfoProto] = []
    plain = {_end(state, value.name) for value in graph.output if value.name not in made}
    for value in graph.output:
        was, name = value.name, _end(state, value.name)
        if was in kinds:
            kinds[name] = kinds.pop(was)
        if was in made and (name in plain or any(name == other.name for other in kept)):
            continue
        value.name = name
        kept.append(onnx.ValueInfoProto.FromString(value.SerializeToString()))
    del graph.output[:]
    graph.output.extend(kept)
    write_kinds(state.proto, kinds)
    names = [value.name for value in kept]
    write_software(state.proto, {n: s for n, s in state.software.items() if n in names})


def joins_product(state: Cleaning, node: onnx.NodeProto) -> bool:
    """Take an Add of one constant per logit as the bias of the product in front."""
    computed = next((n for n in node.input if n not in state.constants), "")
    product = state.producer.get(computed)
    bias = bias_behind(node, product, state.value, state.shape)
    outputs = [value.name for value in state.proto.graph.output]
    alone = len(state.readers.get(computed, ())) == 1 and computed not in outputs
    if product is None or bias is None or not alone:
        return False
    # What software does behind them leaves them logits.
    ends = {n.input[0] for part in state.readers.values() for n in part if n.name in state.behind}
    readers = {
        name: [n for n in part if n.name not in state.behind]
        for name, part in state.readers.items()
    }
    if not ends_graph(node.output[0], readers, [*outputs, *ends]):
        return False
    with_bias(product, state.add_constant(f"{product.name}_bias", bias.astype(np.float32)))
    node.input[:] = [computed]
    return True

# SPDX-License-Identifier: Apache-2.0
"""Fused kernels: groups of nodes of a lowered graph become one node each.

The lowered graph stays the contract of all backends; what is fused is the hardware's graph alone.
The pass knows no kernel: those whose folder has a ``fuse.py`` are asked about every node.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from onnx import GraphProto, NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from .. import kernels
from ..kernels.base import Kernel, Stream
from ..kernels.fused import BODY, DATATYPE, Fusion, datatypes
from ..kernels.ops import base_op

DOMAIN = "finn.custom_op.fpgadataflow.rtl"
LANES = frozenset({"SIMD", "PE", "parallel_window"})
"""Attributes by which nodes are folded."""

Matcher = Callable[[ModelWrapper, NodeProto], Fusion | None]
"""Looks at a graph from one node: the fusion that begins there, or None."""


class FusionError(ValueError):
    """A kernel's pattern took nodes that its op cannot stand for."""


def matchers() -> list[Matcher]:
    """Return the patterns of all kernels, in the order of their list."""
    names = [f"{kernels.__name__}.{kernel}.fuse" for kernel in kernels.KERNELS]
    return [import_module(name).match for name in names if find_spec(name) is not None]


def fuse(
    model: ModelWrapper,
    patterns: Sequence[Matcher] | None = None,
    without: Collection[frozenset[str]] = (),
) -> ModelWrapper:
    """Return the hardware's graph of a lowered one: fused wherever a kernel's pattern is found.

    A node is fused once: patterns earlier in the list go first, then nodes earlier in the graph.

    Args:
        model: specialised, unfolded dataflow graph; it is left as it is.
        patterns: what to look for; None for those of all kernels.
        without: names of nodes that are not to be fused with one another, group by group.

    Raises:
        FusionError: a pattern left a stream out, or its op has other streams than the graph.
    """
    kernels.register()
    found = _found(model, matchers() if patterns is None else patterns, without)
    out = ModelWrapper(copy.deepcopy(model.model))
    graph = out.graph
    order = {node.name: i for i, node in enumerate(graph.node)}
    nodes: list[NodeProto | None] = list(graph.node)
    names = set(order)
    made = []
    for fusion in found:
        places = sorted(order[node.name] for node in fusion.nodes)
        inside = [graph.node[i] for i in places]
        fused = _node(graph, fusion, inside, names)
        names.add(fused.name)
        for place in places:
            nodes[place] = None
        # All that it reads is written before its last node, and what it writes is read behind it.
        nodes[places[-1]] = fused
        made.append(fused.name)
    kept = [copy.deepcopy(node) for node in nodes if node is not None]
    del graph.node[:]
    graph.node.extend(kept)
    _forget(graph)
    for node in graph.node:
        if node.name in made:
            _check_node(out, node)
    _check_order(graph)
    return out


def of_fused(
    folding: Mapping[str, Mapping[str, Any]], ops: Iterable[Any]
) -> dict[str, dict[str, Any]]:
    """Give fused nodes what a folding says of the nodes they stand for.

    The lanes of the node inside that a fused one is folded as become its own, unless the folding
    names it too. Those of the other nodes inside do not exist any more.

    Args:
        folding: see `folding.read_folding`.
        ops: the ops of a graph, with their facts.

    Raises:
        FusionError: anything else is said of a node inside.
    """
    found = {name: dict(values) for name, values in folding.items()}
    for op in ops:
        fused = op.onnx_node.name
        for name in op.stands_for():
            values = found.pop(name, {})
            for attribute in sorted(values.keys() - LANES):
                raise FusionError(
                    f"{name}: found attribute {attribute} of a node that {fused} stands for, "
                    f"expected its lanes; name {fused}, or build with --no-fuse (folding: {name})"
                )
            if values and name == op.leader():
                own = {a: v for a, v in values.items() if a in op.folding_rule().lanes}
                found[fused] = {**own, **found.get(fused, {})}
    return found


def _found(
    model: ModelWrapper, patterns: Iterable[Matcher], without: Collection[frozenset[str]]
) -> list[Fusion]:
    taken: set[str] = set()
    found = []
    for pattern in patterns:
        for node in model.graph.node:
            fusion = None if node.name in taken else pattern(model, node)
            names = set() if fusion is None else {n.name for n in fusion.nodes}
            if fusion is None or names & taken or frozenset(names) in without:
                continue
            _check_streams(model.graph, fusion, names)
            taken |= names
            found.append(fusion)
    return found


def _check_streams(graph: GraphProto, fusion: Fusion, names: set[str]) -> None:
    """Refuse a fusion that does not say of every stream across its border that it crosses it."""
    constants = {t.name for t in graph.initializer}
    written = {t for node in fusion.nodes for t in node.output}
    read = {t for node in fusion.nodes for t in node.input if t and t not in constants}
    outside = {value.name for value in graph.output}
    outside |= {t for node in graph.node if node.name not in names for t in node.input}
    for what, stated, crossing in (
        ("inputs", fusion.inputs, read - written),
        ("outputs", fusion.outputs, written & outside),
    ):
        if set(stated) != crossing or len(set(stated)) != len(stated):
            raise FusionError(
                f"{fusion.nodes[0].name}: fused as {fusion.op_type} with {what} "
                f"{', '.join(stated) or 'none'}, expected {', '.join(sorted(crossing)) or 'none'}"
            )


def _node(
    graph: GraphProto, fusion: Fusion, inside: Sequence[NodeProto], names: set[str]
) -> NodeProto:
    constants = {t.name for t in graph.initializer}
    read = [t for node in inside for t in node.input if t in constants]
    inputs = [*fusion.inputs, *dict.fromkeys(read)]
    op = base_op(fusion.op_type)
    last = inside[-1]
    first = f"{last.name.removesuffix(f'_{base_op(last.op_type)}')}_{op}"
    name, count = first, 0
    while name in names:
        count += 1
        name = f"{first}_{count}"
    return helper.make_node(
        fusion.op_type,
        inputs,
        list(fusion.outputs),
        name=name,
        domain=DOMAIN,
        backend="fpgadataflow",
        exec_mode="cppsim",
        **{BODY: _body(graph, name, inside, inputs, fusion.outputs)},
        **fusion.attributes,
    )


def _body(
    graph: GraphProto,
    name: str,
    inside: Sequence[NodeProto],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> GraphProto:
    """Return the nodes as a graph of their own, with what is declared of their tensors."""
    declared = {v.name: v for v in (*graph.value_info, *graph.input, *graph.output)}
    for tensor in graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        declared[tensor.name] = value
    inner = [t for node in inside for t in node.output if t not in outputs]
    body = helper.make_graph(
        list(inside),
        name,
        [declared[t] for t in inputs],
        [declared[t] for t in outputs],
        value_info=[declared[t] for t in inner],
    )
    known = datatypes(graph)
    for tensor in (*inputs, *inner, *outputs):
        if tensor in known:
            annotation = body.quantization_annotation.add(tensor_name=tensor)
            annotation.quant_parameter_tensor_names.add(key=DATATYPE, value=known[tensor])
    return body


def _forget(graph: GraphProto) -> None:
    """Take away what is declared of tensors that lie inside fused nodes."""
    kept = {t for node in graph.node for t in (*node.input, *node.output)}
    for rows, name_of in (
        (graph.value_info, lambda row: row.name),
        (graph.quantization_annotation, lambda row: row.tensor_name),
    ):
        rest = [copy.deepcopy(row) for row in rows if name_of(row) in kept]
        del rows[:]
        rows.extend(rest)


def _check_node(model: ModelWrapper, node: NodeProto) -> None:
    """Refuse a fused op whose streams are not those of the tensors it was given."""
    op: Kernel = getCustomOp(node)
    op.read_constants(model)
    op.verify_node()
    for tensors, streams in (
        (node.input, op.input_streams()),
        (node.output, op.output_streams()),
    ):
        for name, stream in zip(tensors, streams, strict=False):
            shape, datatype = model.get_tensor_shape(name), model.get_tensor_datatype(name).name
            if tuple(shape) != stream.shape or datatype != stream.datatype:
                raise FusionError(
                    f"{node.name}: reads or writes {name} as {_shown(stream)}, expected "
                    f"{datatype} {tuple(shape)} as the lowered graph says"
                )


def _shown(stream: Stream) -> str:
    return f"{stream.datatype} {stream.shape}"


def _check_order(graph: GraphProto) -> None:
    """Refuse fusions after which a node would read what is only written behind it."""
    known = {t.name for t in (*graph.initializer, *graph.input)}
    for node in graph.node:
        late = [t for t in node.input if t and t not in known]
        if late:
            raise FusionError(
                f"{node.name}: reads {late[0]} before it is written, expected a fused node to take "
                "in all nodes between its first and its last"
            )
        known |= set(node.output)

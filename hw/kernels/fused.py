# SPDX-License-Identifier: Apache-2.0
"""What kernels share that stand for several nodes of a dataflow graph at once.

A fused node carries the nodes it stands for in its attribute ``body``, an ONNX graph: ops with all
attributes, names, shapes and datatypes as they were lowered. Its inputs are the streams that come
in, then the constants of those nodes, by the names that all of them had. `graph.fuse` makes it of
what the ``match`` of a kernel's ``fuse.py`` finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from ...quant.grid import IntArray
from .base import Kernel, RtlKernel, Stream, node_attributes, run_golden
from .ops import find_golden, op_of

BODY = "body"
"""Attribute that holds the nodes a fused node stands for."""
DATATYPE = "finn_datatype"
"""Key under which QONNX notes the datatype of a tensor."""


@dataclass(frozen=True)
class Fusion:
    """Nodes of a specialised, unfolded graph that one fused node takes the place of.

    Attributes:
        op_type: the RTL op, ``<Op>_rtl``.
        nodes: the nodes, in any order. What they read of constants becomes input by itself.
        inputs: the streams that come in, in the order of the op's ``input_streams``.
        outputs: the streams that go out, in the order of its ``output_streams``.
        attributes: the op's own attributes.
    """

    op_type: str
    nodes: tuple[NodeProto, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class Fused(Kernel):
    """Abstract op of a fused kernel.

    A subclass describes itself as every `Kernel` does, its own ``attributes`` included, and tells
    by ``taps`` what can be seen inside. Without a body (a kernel's cases have none) its golden
    runs; with one, the goldens of the nodes it stands for.
    """

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {**super().get_nodeattr_types(), BODY: ("g", False, None)}

    @property
    def body(self) -> GraphProto | None:
        """The nodes it stands for, None where it was made without."""
        found: GraphProto | None = self.get_nodeattr(BODY)
        return found

    def stands_for(self) -> tuple[str, ...]:
        """Names of the nodes it stands for, in topological order."""
        return () if self.body is None else tuple(node.name for node in self.body.node)

    def reached(self, model: Any) -> tuple[int, int] | None:
        """What the last node inside reaches, of one output."""
        if self.body is None or len(self.onnx_node.output) > 1:
            return None
        return op_of(self.body.node[-1]).reached(model)

    def leader(self) -> str:
        """Name of the node inside that is folded as this one is; empty without a body.

        It is the first one with the most lanes to choose: the matrix-vector unit, where there is
        one.
        """
        nodes = () if self.body is None else self.body.node
        lanes = {node.name: len(op_of(node).folding_rule().lanes) for node in nodes}
        return max(lanes, key=lambda name: lanes[name], default="")

    def inner_stream(self, tensor: str, lanes: int) -> Stream:
        """Return the stream of a tensor inside, for ``taps``: ``lanes`` elements per word.

        Raises:
            ValueError: there is no such tensor inside.
        """
        body = self.body or GraphProto()
        shapes = {v.name: v.type.tensor_type.shape.dim for v in (*body.value_info, *body.output)}
        if tensor not in shapes:
            raise ValueError(
                f"{self.onnx_node.name}: found no tensor {tensor} inside, expected one of "
                f"{', '.join(shapes) or 'a body'}"
            )
        shape = tuple(int(d.dim_value) for d in shapes[tensor])
        return Stream(datatypes(body)[tensor], shape, lanes)

    def get_op_and_param_counts(self) -> dict[str, int]:
        """What FINN counts of the nodes it stands for, together."""
        counts: Counter[str] = Counter()
        for node in () if self.body is None else self.body.node:
            op = op_of(node)
            if hasattr(op, "get_op_and_param_counts"):
                counts.update(op.get_op_and_param_counts())
        return dict(counts)

    def last_needed(self, pixels_in: int, pixels_out: int) -> IntArray:
        """Follow the first input through the body, node by node."""
        if self.body is None:
            return super().last_needed(pixels_in, pixels_out)
        body = self.body
        sizes = {v.name: _pixels(v) for v in (*body.input, *body.value_info, *body.output)}
        needed: dict[str, IntArray] = {body.input[0].name: np.arange(pixels_in)}
        for node in body.node:
            known = [needed[name] for name in node.input if name in needed]
            if known:
                before = np.max(known, axis=0)
                for name in node.output:
                    last = op_of(node).last_needed(before.size, sizes[name])
                    needed[name] = np.where(last < 0, -1, before[last])
        return needed[body.output[0].name]

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        if self.body is None:
            super().execute_node(context, graph)
        else:
            run_golden(self, run_body, {BODY: self.body}, context)


class FusedRtl(RtlKernel):
    """RTL backend of a fused kernel, in front of its `Fused`."""

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """Run the body, or what `RtlKernel` runs where there is none or ``exec_mode`` is rtlsim."""
        body = self.get_nodeattr(BODY)
        if body is None or self.get_nodeattr("exec_mode") == "rtlsim":
            super().execute_node(context, graph)
        else:
            run_golden(self, run_body, {BODY: body}, context)


def chain_of(model: ModelWrapper, node: NodeProto, names: Sequence[str]) -> list[NodeProto] | None:
    """Return the nodes of those ops from ``node`` on, each the only reader of the one before; None
    where they are others."""
    chain = [node]
    ends = {value.name for value in model.graph.output}
    for i, name in enumerate(names):
        if chain[i].op_type.removesuffix("_rtl") != name:
            return None
        if i == len(names) - 1:
            return chain
        readers = model.find_consumers(chain[i].output[0])
        if len(readers) != 1 or readers[0].input[0] != chain[i].output[0]:
            return None
        if chain[i].output[0] in ends:
            return None
        chain.append(readers[0])
    return None


def run_body(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Run the goldens of a body's nodes in order; ``inputs`` as the fused node has them.

    Raises:
        ValueError: the golden of a node is missing.
    """
    body: GraphProto = attrs[BODY]
    tensors = dict(zip((v.name for v in body.input), inputs, strict=True))
    for node in body.node:
        golden = find_golden(node.op_type)
        if golden is None:
            raise ValueError(f"{node.name}: found op {node.op_type}, expected one with a golden")
        results = golden([tensors[name] for name in node.input], node_attributes(node))
        tensors.update(zip(node.output, results, strict=True))
    return [tensors[value.name] for value in body.output]


def datatypes(graph: GraphProto) -> dict[str, str]:
    """Return the QONNX datatypes that a graph, or a body, notes of its tensors."""
    return {
        annotation.tensor_name: entry.value
        for annotation in graph.quantization_annotation
        for entry in annotation.quant_parameter_tensor_names
        if entry.key == DATATYPE
    }


def _pixels(value: Any) -> int:
    shape = [int(d.dim_value) for d in value.type.tensor_type.shape.dim]
    return int(np.prod(shape[1:-1]))

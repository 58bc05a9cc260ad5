# SPDX-License-Identifier: Apache-2.0
"""Nodes that another kernel computes for less, found when lanes are known.

The lowered graph stays the contract of all backends: the tensors are the same, and so are names,
lanes and cycles. Kernels whose folder has a ``replace.py`` are asked about every node.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from importlib import import_module
from importlib.util import find_spec

from onnx import NodeProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from ...quant.grid import container
from .. import kernels
from ..kernels.base import Replacement
from ..kernels.ops import op_of

WORTH = 2 / 3
"""Share of a node's price that what takes its place may have."""
Finder = Callable[[ModelWrapper, NodeProto], Replacement | None]
"""Looks at a node of a folded graph: what can stand in its place, or None."""


def finders() -> list[Finder]:
    """Return those of all kernels, in the order of their list."""
    names = [f"{kernels.__name__}.{kernel}.replace" for kernel in kernels.KERNELS]
    return [import_module(name).instead for name in names if find_spec(name) is not None]


def replace_dear(model: ModelWrapper, fixed: Collection[tuple[str, str]] = ()) -> list[str]:
    """Put cheaper nodes in the place of others, in place.

    Args:
        model: folded dataflow graph of RTL ops.
        fixed: (node, attribute) that somebody asked for: a node stays of which that is more than
            the replacement has.

    Returns:
        The names of the nodes that are other ops now; they keep their names.
    """
    found = []
    for index, node in enumerate(model.graph.node):
        for finder in finders():
            instead = finder(model, node)
            if instead is None:
                continue
            new = _node(node, instead)
            op, asked = op_of(new), {a for name, a in fixed if name == node.name}
            dear = op.stated().price > WORTH * op_of(node).stated().price
            if dear or not asked <= op.get_nodeattr_types().keys():
                continue
            gone = list(node.input[1:])
            model.graph.node.remove(node)
            model.graph.node.insert(index, new)
            for name, (values, datatype) in zip(
                new.input[1:], instead.constants.values(), strict=True
            ):
                model.set_initializer(name, container(values))
                model.set_tensor_datatype(name, DataType[datatype])
            _forget(model, gone)
            found.append(new.name)
            break
    return found


def _node(node: NodeProto, instead: Replacement) -> NodeProto:
    constants = [f"{node.name}_{name}" for name in instead.constants]
    made: NodeProto = helper.make_node(
        instead.op_type,
        [node.input[0], *constants],
        list(node.output),
        name=node.name,
        domain=node.domain,
        backend="fpgadataflow",
        exec_mode="cppsim",
        **instead.attributes,
    )
    return made


def _forget(model: ModelWrapper, constants: Collection[str]) -> None:
    """Take constants away that nobody reads any more."""
    read = {name for node in model.graph.node for name in node.input}
    graph = model.graph
    for rows, key in (
        (graph.initializer, "name"),
        (graph.value_info, "name"),
        (graph.quantization_annotation, "tensor_name"),
    ):
        rest = [
            copy.deepcopy(row)
            for row in rows
            if getattr(row, key) not in constants or getattr(row, key) in read
        ]
        del rows[:]
        rows.extend(rest)

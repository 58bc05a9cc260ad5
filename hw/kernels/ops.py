# SPDX-License-Identifier: Apache-2.0
"""What may be asked of an op by the name of its type: its facts, its RTL op, its golden."""

from __future__ import annotations

from typing import Any

from onnx import NodeProto

from . import backends
from .base import Golden
from .facts import Facts


def base_op(op_type: str) -> str:
    """Return the abstract op of a node's op_type (without ``_rtl``)."""
    return op_type.removesuffix("_rtl")


def find_golden(op_type: str) -> Golden | None:
    """Return the golden ``run`` of an op type, or None if it has none."""
    kernel = backends().get(base_op(op_type))
    return kernel.golden if kernel is not None else None


def facts_of(op_type: str) -> type[Facts]:
    """Return what is stated of an op type, abstract or specialised.

    Raises:
        ValueError: an op that is no kernel.
    """
    facts = backends().get(base_op(op_type))
    if facts is None:
        raise ValueError(f"found op {op_type}, expected an op of docs/03_reference/dataflow.md")
    return facts


def op_of(node: NodeProto) -> Any:
    """Return the RTL op of a node, with its facts; the node may be abstract.

    Raises:
        ValueError: see `facts_of`.
    """
    try:
        make: Any = facts_of(node.op_type)
    except ValueError as error:
        raise ValueError(f"{node.name}: {error}") from error
    return make(node)

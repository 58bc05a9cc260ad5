# SPDX-License-Identifier: Apache-2.0
"""What a pass may ask of an op: its kernel's folder answers."""

from __future__ import annotations

from functools import cache
from typing import Any

from onnx import NodeProto

from ..kernels import backends
from ..kernels.facts import Facts
from .executor import base_op


@cache
def _ops() -> dict[str, type[Facts]]:
    return {**backends()}


def facts_of(op_type: str) -> type[Facts]:
    """Return what is stated of an op type, abstract or specialised.

    Raises:
        ValueError: an op that is neither a kernel nor known of FINN.
    """
    facts = _ops().get(base_op(op_type))
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

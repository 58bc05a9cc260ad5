# SPDX-License-Identifier: Apache-2.0
"""Functions that a model defines itself, as PyTorch's exporters write modules: their bodies take
the place of their calls."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import inliner

MAX_DEPTH = 32
"""Most functions inside one another."""

Key = tuple[str, str]


def inline(model: onnx.ModelProto, kept: Collection[str], nodes: int, size: int) -> int:
    """Put the bodies of a model's own functions in place of the nodes that call them.

    Args:
        model: is changed; the functions it calls no longer are dropped.
        kept: domains whose functions stay as they are.
        nodes: most nodes that may come of it.
        size: most bytes.

    Returns:
        How many functions were called.

    Raises:
        ValueError: one calls itself, or more nodes or bytes would come of it; a line.
    """
    functions = {(f.domain, f.name): f for f in model.functions if f.domain not in kept}
    called = {key for node in model.graph.node if (key := (node.domain, node.op_type)) in functions}
    if not called:
        return 0
    known: dict[Key, tuple[int, int]] = {}
    counts = [
        _grown(functions, (node.domain, node.op_type), known, ())
        for node in model.graph.node
        if (node.domain, node.op_type) in functions
    ]
    total = len(model.graph.node) + sum(count for count, _ in counts)
    grown = sum(more for _, more in counts)
    if total > nodes or grown > size:
        raise ValueError(
            f"its functions unfold to {total} nodes and {grown} bytes, expected at most {nodes} "
            f"and {size}"
        )
    try:
        inlined = inliner.inline_selected_functions(model, list(functions))
    except Exception as error:  # Bindings of C++: their exceptions share no other base.
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"its functions cannot be put in place of their calls: {why}") from error
    model.CopyFrom(inlined)
    return len(called)


def _grown(
    functions: dict[Key, onnx.FunctionProto],
    key: Key,
    known: dict[Key, tuple[int, int]],
    inside: tuple[Key, ...],
) -> tuple[int, int]:
    """Nodes and bytes that come of one call."""
    if key in known:
        return known[key]
    if key in inside or len(inside) >= MAX_DEPTH:
        raise ValueError(
            f"its function {ascii(key[1])[:80]} calls itself, or lies in more than {MAX_DEPTH} "
            "others"
        )
    body = functions[key]
    count, size = len(body.node), body.ByteSize()
    for node in body.node:
        within = (node.domain, node.op_type)
        if within in functions:
            more = _grown(functions, within, known, (*inside, key))
            count, size = count + more[0], size + more[1]
    known[key] = count, size
    return known[key]

# SPDX-License-Identifier: Apache-2.0
"""Fuse what is fast enough: a layer whose fused kernel cannot keep a target stays in single nodes.

A fused kernel may take longer for a word than the nodes that it stands for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from ..kernels.ops import op_of
from .folding import foldable_of
from .fuse import Matcher, fuse, matchers
from .share import chosen, pattern


def fuse_for(
    model: ModelWrapper,
    target: int | Mapping[str, Mapping[str, Any]],
    share: Collection[str] = (),
) -> ModelWrapper:
    """Return the hardware's graph of a lowered one, fused where that suits its folding.

    Args:
        model: specialised, unfolded dataflow graph; it is left as it is.
        target: cycles per frame that no fused node may miss; or a folding (see
            `read_folding`): a folding that names fused nodes leaves those layers single
            whose every node it names instead.
        share: names of chains of equal units (see `share.chains`) that become one node each.

    Raises:
        SharingError: there is no chain of a name.
    """
    patterns = [pattern(chosen(model, share)), *matchers()]
    if isinstance(target, int):
        cycles = target
        return _fuse_but(model, patterns, lambda op: fastest(op.onnx_node) > cycles)
    named = set(target)
    whole = fuse(model, patterns)
    if not any(node.name in named and op_of(node).stands_for() for node in whole.graph.node):
        return whole
    return _fuse_but(
        model,
        patterns,
        lambda op: op.onnx_node.name not in named and named.issuperset(op.stands_for()),
    )


def fastest(node: NodeProto) -> int:
    """Return the fewest cycles per frame that any folding gives a node; it changes its lanes."""
    foldable = foldable_of(node)
    found = []
    for group in foldable.choices():
        foldable.apply(group[-1])
        found.append(foldable.cycles())
    return min(found)


def _fuse_but(
    model: ModelWrapper, patterns: Sequence[Matcher], unfit: Callable[[Any], bool]
) -> ModelWrapper:
    """Fuse, without what is unfit; where another kernel's pattern then fits, with that one."""
    single: set[frozenset[str]] = set()
    while True:
        fused = fuse(model, patterns, single)
        ops = [op_of(copy.deepcopy(node)) for node in fused.graph.node]
        found = {frozenset(op.stands_for()) for op in ops if op.stands_for() and unfit(op)}
        if not found:
            return fused
        single |= found

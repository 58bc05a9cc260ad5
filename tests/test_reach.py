# SPDX-License-Identifier: Apache-2.0
"""A layer is fused where its fused kernel keeps the target, else its nodes stay single."""

from __future__ import annotations

import pytest
from andpop.hw.graph.folding import FoldingError, fold, folding_of
from andpop.hw.graph.fuse import fuse
from andpop.hw.graph.reach import fastest, fuse_for
from andpop.hw.graph.specialise import specialise
from dataflow_graphs import bi_shufflenet
from qonnx.core.modelwrapper import ModelWrapper


def network() -> ModelWrapper:
    plan = (4, 8, 16, 32, 12)
    return specialise(ModelWrapper(bi_shufflenet((32, 32), 1, plan, (1, 1, 1))))


def blocks(model: ModelWrapper) -> dict[str, int]:
    """Fewest cycles of every fused 1-bit layer."""
    nodes = [n for n in model.graph.node if n.op_type == "BinaryBlock_rtl"]
    return {node.name: fastest(node) for node in nodes}


def test_layers_that_are_too_slow_when_fused_stay_single() -> None:
    lowered = network()
    reach = blocks(fuse(lowered))
    target = sorted(set(reach.values()))[-2]
    slow = {name for name, cycles in reach.items() if cycles > target}
    assert 0 < len(slow) < len(reach)
    with pytest.raises(FoldingError, match="cannot reach"):
        fold(fuse(lowered), target)
    model = fuse_for(lowered, target)
    assert set(blocks(model)) == set(reach) - slow
    assert sum(n.op_type == "XnorMvu_rtl" for n in model.graph.node) == len(slow)
    fold(model, target)

    again = fuse_for(lowered, folding_of(model))
    fold(again, folding_of(model))
    assert again.model.SerializeToString() == model.model.SerializeToString()


def test_all_is_fused_where_nothing_is_too_slow() -> None:
    lowered = network()
    whole = fuse(lowered).model.SerializeToString()
    assert fuse_for(lowered, 1 << 30).model.SerializeToString() == whole
    assert fuse_for(lowered, {}).model.SerializeToString() == whole
    # A folding of single nodes is one of the fused ones, too.
    assert fuse_for(lowered, folding_of(lowered)).model.SerializeToString() == whole

# SPDX-License-Identifier: Apache-2.0
"""Fused k-bit layers: which nodes of a U-BiNet become one, and what is seen of them inside."""

from __future__ import annotations

import numpy as np
import pytest
from andpop.hw.graph import executor
from andpop.hw.graph.folding import fold
from andpop.hw.graph.reach import fuse_for
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.kbit_block import cases
from comparisons import Comparisons
from kernel_cases import build_op
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from test_cpu_u_binet import pictures_of, u_binet


def network() -> ModelWrapper:
    """A small U-BiNet, its ops with an RTL backend."""
    return specialise(ModelWrapper(u_binet((16, 16))))


def test_layers_that_hold_the_pace_become_one_node(compared: Comparisons) -> None:
    """Below the first rows, that is; an upsampling one is none of them."""
    model = network()
    fused = fuse_for(model, 8 * 16 * 16)
    blocks = [n for n in fused.graph.node if n.op_type == "KbitBlock_rtl"]
    assert blocks and [n for n in fused.graph.node if n.op_type == "BinaryMvu_rtl"]
    golden = executor.run(model, pictures_of(u_binet((16, 16)), 4), keep="all")
    got = executor.run(fused, pictures_of(u_binet((16, 16)), 4), keep="all")
    for node in blocks:
        compared.arrays(golden[node.output[0]], got[node.output[0]], node.name)
    fold(fused, 8 * 16 * 16)
    for node in blocks:
        op = getCustomOp(node)
        ((tensor, sums),) = op.taps()
        assert tensor in golden and sums.shape[1:] == golden[tensor].shape[1:]
        assert op.cycles() <= 8 * 16 * 16


@pytest.mark.parametrize("pe", [1, 2, 3, 4, 5, 10])
def test_outputs_left_over_cost_no_group_of_their_own(pe: int) -> None:
    op = build_op(cases._case((5, 4), (6, 10), (3, pe))).op
    assert op.folds() == -(-10 // pe)
    assert pe in op.folding_rule().choices("PE")
    assert 6 not in op.folding_rule().choices("PE")


def test_a_sum_has_time_for_its_search() -> None:
    """One comparator where a group's steps allow it, otherwise a word per cycle."""
    slow = build_op(cases._case((5, 4), (6, 10), (1, 2))).op
    fast = build_op(cases._case((5, 4), (6, 10), (6, 5))).op
    assert slow.every() == 5 and slow.group_cycles() <= slow.group_steps()
    assert fast.every() == 1 and fast.output_lanes() == 1


def test_codes_that_the_output_cannot_hold_are_refused() -> None:
    built = build_op(cases._case((2, 2), (2, 3), (1, 1)))
    built.op.set_nodeattr("outputDataType", "UINT3")
    with pytest.raises(ValueError, match=r"found codes 0\.\.15, expected those of UINT3"):
        built.op.memories(built.model)


def test_weights_that_are_no_bits_are_refused() -> None:
    built = build_op(cases._case((2, 2), (2, 3), (1, 1)))
    name = built.op.onnx_node.input[1]
    built.model.set_initializer(name, built.model.get_initializer(name) + np.float32(1))
    with pytest.raises(ValueError, match=r"found weights 1\.\.2, expected 0"):
        built.op.memories(built.model)

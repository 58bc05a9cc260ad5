# SPDX-License-Identifier: Apache-2.0
"""Fused layers of levels: which nodes become one, what is seen of them, two outputs per DSP."""

from __future__ import annotations

import numpy as np
import pytest
from andpop.hw.graph import executor
from andpop.hw.graph.elasticity import elastic_edges
from andpop.hw.graph.folding import fold
from andpop.hw.graph.fuse import fuse
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.facts import FoldingRule
from andpop.hw.kernels.pa_block import cases
from andpop.hw.kernels.pa_block.pairs import Pairs
from andpop.hw.kernels.pa_levels import Levels
from comparisons import Comparisons
from dataflow_graphs import pa_resnet, pictures_for
from kernel_cases import altered, build_op
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp


def network() -> ModelWrapper:
    return specialise(ModelWrapper(pa_resnet()))


def test_every_layer_of_levels_becomes_one_node(compared: Comparisons) -> None:
    model = network()
    fused = fuse(model)
    before = [n for n in model.graph.node if n.op_type == "PaMvu_rtl"]
    blocks = [n for n in fused.graph.node if n.op_type == "PaBlock_rtl"]
    assert len(blocks) == len(before) > 0
    assert not [n for n in fused.graph.node if n.op_type in ("PaMvu_rtl", "SignedThresholding_rtl")]
    assert {getCustomOp(n).get_nodeattr("shortcut") for n in blocks} == {"none", "own", "stream"}
    pictures = pictures_for(model, 2)
    golden = executor.run(model, pictures, keep="all")
    got = executor.run(fused, pictures, keep="all")
    for node in blocks:
        compared.arrays(golden[node.output[0]], got[node.output[0]], node.name)


def test_a_shortcut_waits_for_the_window_beside_it() -> None:
    model = fold(fuse(network()), 4096)
    edges = elastic_edges(model, 4096)
    beside = [
        node.input[:2]
        for node in model.graph.node
        if node.op_type == "PaBlock_rtl" and getCustomOp(node).get_nodeattr("shortcut") == "stream"
    ]
    assert beside
    for window, shortcut in beside:
        assert shortcut in edges and window not in edges


def test_taps_are_the_codes_and_the_sums() -> None:
    for node in fuse(network()).graph.node:
        if node.op_type == "PaBlock_rtl":
            op = getCustomOp(node)
            (_, codes), (_, sums) = op.taps()
            assert codes.datatype == op.get_nodeattr("codeDataType")
            assert codes.shape == op.get_normal_input_shape(0)
            assert sums.datatype == op.get_nodeattr("sumDataType")
            assert sums.shape == op.get_normal_output_shape(0)
            assert codes.lanes == sums.lanes == 1


@pytest.mark.parametrize(
    ("alpha", "beta", "chain"),
    [
        ([-120, 0, 123], [0, 255], 2),
        ([-120, 0, 123], [0, 128], 4),
        ([-127, 0, 127], [0, 255], 2),
        # One less than the least level takes a bit more: the field of one product is full.
        ([-128, 0, 127], [0, 255], 1),
        ([-300, 0, 300], [0, 255], 0),
        ([-120, 0, 123], [0, 256], 0),
    ],
)
def test_as_many_products_in_a_cascade_as_their_field_holds(
    alpha: list[int], beta: list[int], chain: int
) -> None:
    pairs = Pairs.of(Levels(np.array(alpha), np.array(beta), 1, 3, 3), 8)
    assert (pairs.chain if pairs else 0) == chain
    if pairs:
        largest = max(-min(alpha), max(alpha)) * max(beta)
        assert chain * largest < 1 << (pairs.field - 1) <= 2 * chain * largest + (1 << 17)


def test_levels_against_their_codes_are_not_packed() -> None:
    assert Pairs.of(Levels(np.array([3, 0, -3]), np.array([0, 1]), 1, 1, 2), 4) is None


def test_lanes_that_do_not_divide() -> None:
    rule = FoldingRule({"SIMD": 16, "PE": 16}, ragged=frozenset({"PE"}))
    assert rule.choices("SIMD") == [1, 2, 4, 8, 16]
    assert rule.choices("PE") == [1, 2, 3, 4, 6, 8, 16]
    assert build_op(altered(cases.SMOKE[0], PE=3)).op.folds() == 3


def test_constants_that_do_not_fit_are_named() -> None:
    built = build_op(altered(cases.SMOKE[0], sumDataType="INT12"))
    with pytest.raises(ValueError, match="found sums .*, expected -2048..2047"):
        built.op.memories(built.model)
    with pytest.raises(ValueError, match="found PE=9, expected 1..8"):
        build_op(altered(cases.SMOKE[0], PE=9)).op.verify_node()

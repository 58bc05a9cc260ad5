# SPDX-License-Identifier: Apache-2.0
"""Piecewise (PA) blocks are lowered: level codes between signed thresholds and codebooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.hw.graph.executor import run
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.verify import verify
from dataflow_graphs import pictures_for
from onnx import helper, numpy_helper
from qonnx_block import pa_network, set_constant


@pytest.mark.parametrize(
    ("m", "n", "options"),
    [
        (4, 5, {}),
        (2, 1, {"stride": 2, "size": (7, 5)}),
        (8, 7, {"kernel": 1, "stride": 2, "size": (6, 7)}),
        (14, 15, {"kernel": 5, "stride": 2, "size": (9, 6)}),
        (4, 3, {"merged": True}),
        (2, 2, {"merged": True, "stride": 3, "size": (8, 10)}),
        (4, 3, {"linear": True}),
        (2, 1, {"linear": True, "kernel": 1}),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_pa_blocks_equal_qonnx(
    m: int,
    n: int,
    options: dict[str, Any],
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    proto = pa_network(seed, m, n, **options)
    graph = lower(proto)
    assert [x.op_type for x in graph.graph.node].count("PaMvu") == 3
    compared = verify(proto, graph, noise=4)
    assert compared > 7 * 1000
    record_property("values_compared", compared)
    codes = [x.output[0] for x in graph.graph.node if x.op_type == "SignedThresholding"]
    pictures = pictures_for(graph, noise=20)
    values = run(graph, pictures, "all")
    assert all(len(np.unique(values[name])) > (n + 1) // 2 for name in codes)


def test_pa_constants_arrive_unchanged() -> None:
    proto = pa_network(3, 4, 5)
    weights = numpy_helper.to_array(
        next(t for t in proto.graph.initializer if t.name == by_name(proto, "basic_Conv").input[1])
    )
    levels = numpy_helper.to_array(
        next(
            t for t in proto.graph.initializer if t.name == by_name(proto, "basic_Gather").input[0]
        )
    )
    graph = lower(proto)
    node = next(x for x in graph.graph.node if x.name == "basic_PaMvu")
    codes, alpha, beta = (graph.get_initializer(name) for name in node.input[1:])
    zero = helper.get_node_attr_value(node, "zero")
    np.testing.assert_array_equal(
        alpha[codes.astype(int) + zero], weights.transpose(2, 3, 1, 0).reshape(codes.shape)
    )
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert (attributes["alphaValues"], attributes["betaValues"]) == (alpha.tolist(), beta.tolist())
    np.testing.assert_array_equal(beta, levels)
    assert alpha[zero] == 0
    assert np.all(np.diff(alpha) > 0)


def test_uniform_levels_with_a_gap_stay_their_own_codes() -> None:
    proto = pa_network(0, 4, 3, linear=True)
    replace_input("basic_Conv", 1, lambda v: np.where(v == -1, 2, v))(proto)
    graph = lower(proto)
    node = next(x for x in graph.graph.node if x.name == "basic_PaMvu")
    assert helper.get_node_attr_value(node, "alphaValues") == [-2, -1, 0, 1, 2]
    assert verify(proto, graph) > 1000


def by_name(proto: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in proto.graph.node if n.name == name)


def replace_input(
    node: str, port: int, change: Callable[[np.ndarray], np.ndarray]
) -> Callable[[onnx.ModelProto], None]:
    """Change a constant where one node reads it."""

    def edit(proto: onnx.ModelProto) -> None:
        name = by_name(proto, node).input[port]
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        set_constant(proto, name, change(numpy_helper.to_array(tensor).copy()))

    return edit


def first_level_set(levels: np.ndarray) -> np.ndarray:
    levels[0] = 3
    return levels


def pool_of_levels(proto: onnx.ModelProto) -> None:
    conv = by_name(proto, "basic_Conv")
    conv.CopyFrom(
        helper.make_node(
            "MaxPool", conv.input[:1], conv.output, name="pool_MaxPool", kernel_shape=[1, 1]
        )
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            replace_input("basic_Gather", 0, first_level_set),
            r"basic_Gather \(Gather\): found the levels \[3.*expected integers 0\.\.255 that begin",
        ),
        (
            replace_input("basic_Gather", 0, lambda v: v[:3]),
            r"basic_Gather \(Gather\): found the levels .* for codes of UINT3",
        ),
        (
            replace_input("basic_Gather", 0, lambda v: 2 * v + 100 * (v > 0)),
            r"basic_Gather \(Gather\): found the levels",
        ),
        (
            replace_input("basic_Conv", 1, lambda v: v * np.float32(2**22)),
            r"basic_Conv \(Conv\): its accumulator reaches -\d+\.\.\d+, expected at most 31 bits",
        ),
        (
            replace_input("basic_Conv", 1, lambda v: np.arange(v.size).reshape(v.shape)),
            r"basic_Conv \(Conv\): found 144 different weights on level codes, expected at most 15",
        ),
        (pool_of_levels, r"pool_MaxPool \(MaxPool\): reads the level codes basic_act"),
        (
            replace_input("basic_Mul", 1, lambda v: v * np.float32(1.5)),
            r"basic_Mul \(Mul\): found the factor .*, expected a power of two",
        ),
    ],
)
def test_names_what_a_pa_block_cannot_be(
    change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    proto = pa_network(0)
    change(proto)
    with pytest.raises(LoweringError, match=message) as caught:
        lower(proto)
    assert "\n" not in str(caught.value)

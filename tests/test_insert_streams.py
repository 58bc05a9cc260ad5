# SPDX-License-Identifier: Apache-2.0
"""The stitched graph: a FIFO on every edge, converters where words differ, the same results."""

from __future__ import annotations

import numpy as np
import pytest
from andpop.hw.graph.executor import run
from andpop.hw.graph.folding import fold
from andpop.hw.graph.insert_streams import StreamError, insert_streams, sizing_depth
from andpop.hw.graph.specialise import specialise
from dataflow_graphs import GraphBuilder
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp


def folded(target: int) -> ModelWrapper:
    """A unit with fork, join, split and concat, folded to a target."""
    g = GraphBuilder(1)
    picture = g.input((1, 8, 8, 1), "UINT8")
    x = g.epilogue(g.int_mvu(g.windows(g.pad(picture, [1] * 4), [3, 3], [1, 1]), 8))
    x = g.basic_unit(g.identity_block(x, 3))
    return fold(specialise(ModelWrapper(g.model([x]))), target)


def ops(model: ModelWrapper, op: str) -> list[str]:
    return [n.name for n in model.graph.node if n.op_type == f"{op}_rtl"]


@pytest.mark.parametrize("target", [400, 1500])
def test_every_edge_has_one_fifo_and_ends_that_fit(target: int) -> None:
    model = folded(target)
    stitched = insert_streams(model)
    edges = 1 + sum(len(n.output) for n in model.graph.node)
    assert len(ops(stitched, "StreamingFIFO")) == edges
    assert len(stitched.graph.node) == len(model.graph.node) + edges + len(
        ops(stitched, "StreamingDataWidthConverter")
    )
    constants = {t.name for t in stitched.graph.initializer}
    writers = {t: (n, i) for n in stitched.graph.node for i, t in enumerate(n.output)}
    seen: set[str] = {stitched.graph.input[0].name}
    for node in stitched.graph.node:
        reader = getCustomOp(node)
        for i, name in enumerate(node.input):
            if name in constants:
                continue
            assert name in seen, f"{node.name} stands before the writer of {name}"
            if name not in writers:
                continue
            writer = getCustomOp(writers[name][0])
            port = writers[name][1]
            assert reader.get_folded_input_shape(i)[-1] == writer.get_folded_output_shape(port)[-1]
            assert reader.get_input_datatype(i) == stitched.get_tensor_datatype(name)
            kinds = {writers[name][0].op_type, node.op_type}
            assert kinds & {"StreamingFIFO_rtl", "StreamingDataWidthConverter_rtl"}
        seen |= set(node.output)
    assert stitched.graph.output[0].name == model.graph.output[0].name in seen


def test_converters_stand_only_where_words_differ() -> None:
    narrow, wide = insert_streams(folded(100_000)), insert_streams(folded(400))
    assert len(ops(narrow, "StreamingDataWidthConverter")) > 0
    for stitched in (narrow, wide):
        for name in ops(stitched, "StreamingDataWidthConverter"):
            op = getCustomOp(stitched.get_node_from_name(name))
            assert op.get_nodeattr("inWidth") != op.get_nodeattr("outWidth")


def test_stitched_graph_gives_the_same_tensors() -> None:
    model = folded(400)
    pictures = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    plain = run(model, pictures, keep="all")
    stitched = run(insert_streams(model), pictures, keep="all")
    for name, value in plain.items():
        assert np.array_equal(value, stitched[name]), name
    assert len(plain) > 20


def test_input_graph_is_left_alone_and_output_is_reproducible() -> None:
    model = folded(400)
    before = model.model.SerializeToString(deterministic=True)
    first, second = insert_streams(model), insert_streams(model)
    assert model.model.SerializeToString(deterministic=True) == before
    assert first.model.SerializeToString(deterministic=True) == second.model.SerializeToString(
        deterministic=True
    )


def test_depths_are_taken_from_the_table() -> None:
    model = folded(400)
    table = {name: 2 + i for i, name in enumerate(ops(insert_streams(model), "StreamingFIFO"))}
    stitched = insert_streams(model, table)
    for name, depth in table.items():
        assert getCustomOp(stitched.get_node_from_name(name)).get_nodeattr("depth") == depth


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_fifo": None}, "input_fifo: no depth given"),
        ({"nobody_fifo0": 4}, "nobody_fifo0: depth given for a FIFO"),
        ({"input_fifo": 1}, "found depth 1, expected at least 2"),
    ],
)
def test_depths_that_do_not_fit_are_refused(change: dict[str, int | None], message: str) -> None:
    model = folded(400)
    table = dict.fromkeys(ops(insert_streams(model), "StreamingFIFO"), 8)
    depths = {k: v for k, v in {**table, **change}.items() if v is not None}
    with pytest.raises(StreamError, match=message):
        insert_streams(model, depths)


def test_fork_without_duplicate_is_refused() -> None:
    g = GraphBuilder()
    x = g.input((1, 4, 4, 2), "INT8")
    y = g.shuffle(x, x)
    with pytest.raises(StreamError, match=r"found 2 readers, expected 1; put a DuplicateStreams"):
        insert_streams(specialise(ModelWrapper(g.model([y]))))


def test_ends_of_different_datatypes_are_refused() -> None:
    model = folded(400)
    node = next(n for n in model.graph.node if n.op_type == "Thresholding_rtl")
    getCustomOp(node).set_nodeattr("inputDataType", "INT7")
    with pytest.raises(StreamError, match=f"{node.name} reads INT7; declare one datatype"):
        insert_streams(model)


def test_sizing_storage_holds_four_frames_within_limits() -> None:
    assert [sizing_depth(n) for n in (1, 100, 1 << 20)] == [64, 400, 65536]
    waiting = [sizing_depth(n, waits=True) for n in (1, 100, 1 << 14, 1 << 20)]
    assert waiting == [64, 1600, 1 << 18, 1 << 21]

# SPDX-License-Identifier: Apache-2.0
"""The stitched graph: FIFOs where words wait, registers, converters, and the same results."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from andpop.hw.graph.elasticity import _Run, joining
from andpop.hw.graph.executor import run
from andpop.hw.graph.folding import fold
from andpop.hw.graph.insert_streams import (
    READY_RUN,
    StreamError,
    insert_streams,
    remove_streams,
    sizing_depth,
)
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.ops import facts_of, op_of
from andpop.hw.rtl.emit_top import set_depths
from andpop.hw.rtl.simulate import emit
from dataflow_graphs import GraphBuilder
from onnx import NodeProto
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


def test_fifos_of_the_top_are_those_that_ops_state(tmp_path: Path) -> None:
    """Every parameter, of a FIFO in several banks of block RAM too."""
    info = emit(folded(1024), tmp_path)
    set_depths(tmp_path, {fifo.name: 20_000 for fifo in info.fifos})
    package = (tmp_path / "fifo_depths_pkg.sv").read_text(encoding="ascii")
    top = (tmp_path / "andpop_top.sv").read_text(encoding="ascii")
    banks = []
    for fifo in info.fifos:
        stitched = ModelWrapper(str(tmp_path / "stitched.onnx"))
        (node,) = (n for n in stitched.graph.node if n.name == fifo.name)
        op = op_of(node)
        (instance,) = re.findall(rf"streaming_fifo #\(([^;]*?)\) u_{fifo.name} \(", top)
        assert set(re.findall(r"\.(\w+)\(", instance)) == set(op.rtl_parameters())
        assert f" {fifo.name} = 20000;" in package
        assert f" {fifo.name}_block = {int(op.block_ram())};" in package
        assert f" {fifo.name}_bank = {op.bank_words()};" in package
        banks.append(op.bank_words())
    assert any(banks)


def kinds(stitched: ModelWrapper) -> dict[str, str]:
    """By tensor of the producer: the op that stands on its edge, "" for a wire or a converter."""
    readers = {name: node for node in stitched.graph.node for name in node.input}
    found = {}
    writers = [n for n in stitched.graph.node if not facts_of(n.op_type).on_edge]
    for name in (stitched.graph.input[0].name, *(t for n in writers for t in n.output)):
        found[name] = ""
        reader = readers.get(name)
        while reader is not None and facts_of(reader.op_type).on_edge:
            op = reader.op_type.removesuffix("_rtl")
            found[name] = found[name] if op == "StreamingDataWidthConverter" else op
            reader = readers.get(reader.output[0])
    return found


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("target", [400, 1500])
def test_ends_fit_and_the_order_is_topological(target: int, everywhere: bool) -> None:
    model = folded(target)
    stitched = insert_streams(model, everywhere=everywhere)
    edges = 1 + sum(len(n.output) for n in model.graph.node)
    fifos = len(ops(stitched, "StreamingFIFO"))
    assert fifos == edges if everywhere else 0 < fifos < edges / 2
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
        seen |= set(node.output)
    assert stitched.graph.output[0].name == model.graph.output[0].name in seen


def test_at_a_join_all_but_the_latest_input_wait() -> None:
    model = folded(1500)
    stands = kinds(insert_streams(model))
    joins = joining(model.graph)
    assert len(joins) > 3
    for node in model.graph.node:
        if node.name in joins:
            ins = [name for name in node.input if name in stands]
            assert [stands[name] for name in ins].count("StreamingFIFO") == len(ins) - 1


def test_a_shortcut_waits_and_not_its_detour() -> None:
    model = folded(1500)
    stands = kinds(insert_streams(model))
    forks = [n for n in model.graph.node if n.op_type == "DuplicateStreams_rtl"]
    joins = joining(model.graph)
    readers = {name: node.name for node in model.graph.node for name in node.input}
    for fork in forks:
        direct = [t for t in fork.output if readers[t] in joins]
        assert {stands[t] for t in direct} == {"StreamingFIFO"}


def test_registers_stand_at_both_ends_of_the_network() -> None:
    stands = kinds(insert_streams(folded(1500)))
    assert list(stands.values())[0] == "StreamLink"
    assert list(stands.values())[-1] == "StreamLink"


def test_no_ready_runs_through_more_than_two_nodes() -> None:
    """Splits in a row hand their ready on within the cycle; so do converters."""
    g = GraphBuilder(1)
    x = g.input((1, 8, 8, 4), "INT8")
    for _ in range(3):
        left, right = g.split(x, [2, 2])
        x = g.shuffle(left, right)
    stitched = insert_streams(specialise(ModelWrapper(g.model([x]))))
    readers = {name: node for node in stitched.graph.node for name in node.input}

    def run(node: NodeProto) -> int:
        if op_of(node).cuts_ready():
            return 0
        return (not facts_of(node.op_type).on_edge) + max(
            (run(readers[t]) for t in node.output if t in readers), default=0
        )

    assert max(run(node) for node in stitched.graph.node) == READY_RUN
    assert len(ops(stitched, "StreamLink")) > 2


def test_slow_edges_take_the_forms_that_pass_a_word_in_two_cycles() -> None:
    fast, slow = insert_streams(folded(400)), insert_streams(folded(100_000))
    rates = [
        {getCustomOp(n).get_nodeattr("half_rate") for n in g.graph.node if "FIFO" in n.op_type}
        for g in (fast, slow)
    ]
    assert 0 in rates[0] and 1 in rates[1]


def test_what_stands_on_edges_can_be_taken_off_again() -> None:
    model = folded(1500)
    for everywhere in (False, True):
        plain = remove_streams(insert_streams(model, everywhere=everywhere))
        assert [n.name for n in plain.graph.node] == [n.name for n in model.graph.node]
        for ours, theirs in zip(plain.graph.node, model.graph.node, strict=True):
            assert (list(ours.input), list(ours.output)) == (
                list(theirs.input), list(theirs.output)
            )  # fmt: skip
        again = insert_streams(plain)
        assert kinds(again) == kinds(insert_streams(model))


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
    table = dict.fromkeys(ops(insert_streams(model, everywhere=True), "StreamingFIFO"), 8)
    depths = {k: v for k, v in {**table, **change}.items() if v is not None}
    with pytest.raises(StreamError, match=message):
        insert_streams(model, depths, everywhere=True)


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


def test_a_fifo_holds_the_wider_words_of_its_edge() -> None:
    stitched = insert_streams(folded(400), everywhere=True)
    readers = {name: node for node in stitched.graph.node for name in node.input}
    seen = {False: 0, True: 0}
    for node in stitched.graph.node:
        # A converter and a FIFO, one behind the other.
        after = readers.get(node.output[0])
        pair = [node.op_type, "" if after is None else after.op_type]
        if sorted(pair) != ["StreamingDataWidthConverter_rtl", "StreamingFIFO_rtl"]:
            continue
        converter = op_of(node if pair[0] == "StreamingDataWidthConverter_rtl" else after)
        first = converter.onnx_node.name == node.name
        widens = converter.get_instream_width() < converter.get_outstream_width()
        assert first == widens, f"{converter.onnx_node.name} stands on the wrong side of its FIFO"
        seen[widens] += 1
    assert seen[True] and seen[False]


def test_a_window_leaves_behind_its_last_pixel() -> None:
    whole = _Run((), np.array([8]), 9, 0.25)
    # One window of the whole map: nothing is taken while its words leave.
    assert whole.frame(0.25, 0.9) == pytest.approx(0.9 + 0.25)
    many = _Run((), np.arange(9), 9, 0.01)
    assert many.frame(0.25, 0.9) == pytest.approx(0.9 + 0.01, abs=0.1)

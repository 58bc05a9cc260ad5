# SPDX-License-Identifier: Apache-2.0
"""Fused nodes compute what the nodes they stand for compute, wherever these are in a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows.backends import coverage
from andpop.flows.compare import gap_lines
from andpop.hw.graph.executor import GoldenExecutor
from andpop.hw.graph.folding import FoldingError, fold, folding_of
from andpop.hw.graph.fuse import FusionError, fuse
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels import ops, register
from andpop.hw.kernels.base import Stream, register_op
from andpop.hw.kernels.costs import Structure
from andpop.hw.kernels.fused import Fused, FusedRtl, Fusion, datatypes
from dataflow_graphs import GraphBuilder, bi_shufflenet, pictures_for
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes


class Glued(Fused):
    """Stands for any nodes: streams as its body declares them."""

    lanes = {"SIMD": "Inputs", "PE": "Outputs"}
    attributes = {
        "Streams": ("i", True, 0),
        "Inputs": ("i", True, 0),
        "Outputs": ("i", True, 0),
        "SIMD": ("i", False, 1),
        "PE": ("i", False, 1),
    }

    def input_streams(self) -> list[Stream]:
        return [self._stream(v) for v in list(self.body.input)[: self.get_nodeattr("Streams")]]

    def output_streams(self) -> list[Stream]:
        return [self._stream(v) for v in self.body.output]

    def _stream(self, value: onnx.ValueInfoProto) -> Stream:
        shape = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        return Stream(datatypes(self.body)[value.name], shape, 1)

    def cycles(self) -> int:
        streams = (*self.input_streams(), *self.output_streams())
        return max(s.words for s in streams) // self.get_nodeattr("SIMD")

    def structures(self) -> dict[str, Structure]:
        return {"": Structure({}, luts=self.get_nodeattr("SIMD") * self.get_nodeattr("PE"))}

    def taps(self) -> list[tuple[str, Stream]]:
        kinds = ("Thresholding_rtl", "XnorMvu_rtl")
        names = [n.output[0] for n in self.body.node if n.op_type in kinds]
        return [(name, self.inner_stream(name, 1)) for name in names]


class Glued_rtl(FusedRtl, Glued):
    """Its backend; it has no RTL."""

    module = "glued"
    sources = ()

    def rtl_parameters(self) -> dict[str, int | str]:
        return {}


@pytest.fixture(autouse=True)
def glued(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let FINN and the passes know the op of these tests."""
    register()
    register_op(Glued)
    register_op(Glued_rtl)
    known = {**ops.backends(), "Glued": Glued_rtl}
    monkeypatch.setattr(ops, "backends", lambda: known)
    yield


def fusion(
    nodes: list[NodeProto], inputs: list[str], outputs: list[str], lanes: tuple[int, int] = (1, 1)
) -> Fusion:
    """A fusion to Glued."""
    values = {"Streams": len(inputs), "Inputs": lanes[0], "Outputs": lanes[1]}
    return Fusion("Glued_rtl", tuple(nodes), tuple(inputs), tuple(outputs), values)


def sign_and_border(model: ModelWrapper, node: NodeProto) -> Fusion | None:
    """Thresholding -> FMPadding."""
    follower = model.find_consumer(node.output[0])
    if node.op_type != "Thresholding_rtl" or follower is None:
        return None
    if follower.op_type != "FMPadding_rtl":
        return None
    return fusion([node, follower], [node.input[0]], [follower.output[0]])


def block(model: ModelWrapper, node: NodeProto) -> Fusion | None:
    """[DuplicateStreams ->] Thresholding -> [FMPadding -> window] -> XnorMvu -> Epilogue."""
    if node.op_type != "Thresholding_rtl":
        return None
    chain = [node]
    while chain[-1].op_type != "Epilogue_rtl":
        following = model.find_consumer(chain[-1].output[0])
        if following is None or following.op_type not in (
            *("FMPadding_rtl", "ConvolutionInputGenerator_rtl", "XnorMvu_rtl", "Epilogue_rtl"),
        ):
            return None
        chain.append(following)
    inputs, last = [node.input[0]], chain[-1]
    if getCustomOp(last).get_nodeattr("hasShortcut"):
        inputs.append(last.input[1])
    fork = model.find_producer(inputs[0])
    if fork is not None and set(fork.output) == set(inputs) and len(inputs) == 2:
        chain.insert(0, fork)
        inputs = [fork.input[0]]
    unit = getCustomOp(next(n for n in chain if n.op_type == "XnorMvu_rtl"))
    lanes = (unit.get_nodeattr("MW"), unit.get_nodeattr("MH"))
    return fusion(chain, inputs, list(last.output), lanes)


def network() -> ModelWrapper:
    """A small Bi-ShuffleNet, specialised."""
    plan = (4, 8, 16, 32, 12)
    return specialise(ModelWrapper(bi_shufflenet((32, 32), 1, plan, (1, 1, 1))))


def executed(model: ModelWrapper, picture: np.ndarray) -> dict[str, Any]:
    """Every tensor that FINN's execution of a graph finds."""
    from finn.core.onnx_exec import execute_onnx

    feed = {model.graph.input[0].name: picture[None].astype(np.float32)}
    found: dict[str, Any] = execute_onnx(model, feed, return_full_exec_context=True)
    return found


def streams(model: ModelWrapper) -> set[str]:
    """Names of the tensors that nodes write."""
    return {name for node in model.graph.node for name in node.output}


@pytest.mark.parametrize("pattern", [sign_and_border, block])
def test_a_fused_graph_computes_what_the_lowered_one_does(pattern: Any) -> None:
    lowered = network()
    before = lowered.model.SerializeToString()
    fused = fuse(lowered, [pattern])
    assert lowered.model.SerializeToString() == before
    assert len(fused.graph.node) < len(lowered.graph.node)
    kept = streams(fused)
    assert kept < streams(lowered)
    for picture in pictures_for(lowered, 1)[2:]:
        ours, theirs = executed(fused, picture), executed(lowered, picture)
        for name in kept:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_every_block_is_one_node_and_forks_lie_inside() -> None:
    lowered = network()
    fused = fuse(lowered, [block])
    left = {node.op_type for node in fused.graph.node}
    assert not left & {"Thresholding_rtl", "XnorMvu_rtl"}
    made = [getCustomOp(n) for n in fused.graph.node if n.op_type == "Glued_rtl"]
    assert len(made) == 3 * 6 + 3 * 4
    forks = [op for op in made if any("DuplicateStreams" in name for name in op.stands_for())]
    # Four blocks of every basic unit have their shortcut inside, one of a down unit from outside.
    assert len(forks) == 3 * 4
    assert {len(op.input_streams()) for op in forks} == {1}
    assert sorted(len(op.input_streams()) for op in made if op not in forks) == [1] * 15 + [2] * 3
    inside = [name for op in made for name in op.stands_for()]
    names = [node.name for node in lowered.graph.node]
    rest = [n.name for n in fused.graph.node if n.op_type != "Glued_rtl"]
    assert sorted([*inside, *rest]) == sorted(names)


def test_twice_gives_the_same_bytes() -> None:
    first, second = (fuse(network(), [block]).model.SerializeToString() for _ in range(2))
    assert first == second


def test_a_node_is_fused_once_by_the_first_pattern() -> None:
    fused = fuse(network(), [block, sign_and_border])
    again = fuse(network(), [block])
    assert fused.model.SerializeToString() == again.model.SerializeToString()


def test_a_fusion_that_begins_outside_takes_no_node_of_another_pattern() -> None:
    def from_fork(model: ModelWrapper, node: NodeProto) -> Fusion | None:
        readers = [model.find_consumer(t) for t in node.output if "DuplicateStreams" in node.name]
        signs = [n for n in readers if n is not None and n.op_type == "Thresholding_rtl"]
        return block(model, signs[0]) if signs else None

    fused = fuse(network(), [sign_and_border, from_fork])
    groups = {ops.op_of(n).stands_for() for n in fused.graph.node}
    first = fuse(network(), [sign_and_border]).graph.node
    assert groups > {ops.op_of(n).stands_for() for n in first}


def test_nothing_is_left_of_inner_tensors_but_in_the_body() -> None:
    lowered = network()
    fused = fuse(lowered, [block])
    gone = streams(lowered) - streams(fused)
    assert gone
    declared = {v.name for v in fused.graph.value_info}
    declared |= {a.tensor_name for a in fused.graph.quantization_annotation}
    assert not gone & declared
    for node in fused.graph.node:
        op = getCustomOp(node)
        if not isinstance(op, Fused):
            continue
        assert op.body is not None
        for inner in op.body.node:
            old = next(n for n in lowered.graph.node if n.name == inner.name)
            assert inner.SerializeToString() == old.SerializeToString()
        for name, stream in op.taps():
            assert stream.shape == tuple(lowered.get_tensor_shape(name))
            assert stream.datatype == lowered.get_tensor_datatype(name).name
        with pytest.raises(ValueError, match=f"{node.name}: found no tensor nose inside"):
            op.inner_stream("nose", 1)


def test_constants_keep_their_names_and_values() -> None:
    lowered = network()
    fused = fuse(lowered, [block])
    for node in fused.graph.node:
        if node.op_type == "Glued_rtl":
            count = len(getCustomOp(node).input_streams())
            assert [bool(fused.get_initializer(n) is not None) for n in node.input] == (
                [False] * count + [True] * 3
            )
    for tensor in lowered.graph.initializer:
        np.testing.assert_array_equal(
            fused.get_initializer(tensor.name), lowered.get_initializer(tensor.name)
        )


def test_passes_of_qonnx_leave_it_as_it_is() -> None:
    fused = fuse(network(), [block])
    names = sorted(node.name for node in fused.graph.node)
    after = fused.transform(InferShapes()).transform(InferDataTypes())
    assert sorted(node.name for node in after.graph.node) == names
    picture = pictures_for(fused, 1)[-1]
    ours, theirs = executed(after, picture), executed(fused, picture)
    for name in streams(fused):
        np.testing.assert_array_equal(ours[name], theirs[name])
        assert after.get_tensor_shape(name) == fused.get_tensor_shape(name)
        assert after.get_tensor_datatype(name) == fused.get_tensor_datatype(name)


def test_pixels_that_a_fused_node_needs_are_those_of_its_body() -> None:
    g = GraphBuilder()
    x = g.block(g.sign(g.input((1, 6, 7, 4), "UINT8")), 4, 3, 2)
    model = specialise(ModelWrapper(g.model([x])))
    fused = fuse(model, [block])
    (node,) = [n for n in fused.graph.node if n.op_type == "Glued_rtl"]
    _, height, width, _ = model.get_tensor_shape(node.input[0])
    _, rows, columns, _ = model.get_tensor_shape(node.output[0])
    needed = ops.op_of(node).last_needed(height * width, rows * columns)
    expected = [
        min(2 * y + 1, height - 1) * width + min(2 * x + 1, width - 1)
        for y in range(rows)
        for x in range(columns)
    ]
    # Behind the last row and column lies the border, which needs nothing.
    full = list(expected)
    for i, (y, x) in enumerate((y, x) for y in range(rows) for x in range(columns)):
        if 2 * y + 1 >= height or 2 * x + 1 >= width:
            full[i] = int(needed[i])
            assert needed[i] == -1
    assert needed.tolist() == full


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([], [1], "with inputs none, expected t"),
        ([0, 1], [1], "with inputs t"),
        ([0], [], "with outputs none, expected t"),
        ([0], [0, 1], "with outputs t"),
    ],
)
def test_a_pattern_that_forgets_a_stream_is_refused(
    inputs: list[int], outputs: list[int], message: str
) -> None:
    def wrong(model: ModelWrapper, node: NodeProto) -> Fusion | None:
        right = sign_and_border(model, node)
        if right is None:
            return None
        ends = [node.input[0], node.output[0]], [node.output[0], right.outputs[0]]
        return fusion(
            list(right.nodes), [ends[0][i] for i in inputs], [ends[1][i] for i in outputs]
        )

    with pytest.raises(FusionError, match=message):
        fuse(network(), [wrong])


def test_a_pattern_around_a_detour_is_refused() -> None:
    def around(model: ModelWrapper, node: NodeProto) -> Fusion | None:
        follower = model.find_producer(node.input[0])
        if node.op_type != "Epilogue_rtl" or follower is None or len(node.input) < 3:
            return None
        fork = model.find_producer(node.input[1])
        if fork is None or fork.op_type != "DuplicateStreams_rtl":
            return None
        other = next(name for name in fork.output if name != node.input[1])
        return fusion([fork, node], [fork.input[0], node.input[0]], [other, node.output[0]])

    with pytest.raises(FusionError, match="before it is written"):
        fuse(network(), [around])


def test_ops_with_other_streams_than_the_graph_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Glued.output_streams

    def wrong(op: Glued) -> list[Stream]:
        return [Stream("INT8", s.shape, 1) for s in right(op)]

    monkeypatch.setattr(Glued, "output_streams", wrong)
    with pytest.raises(FusionError, match=r"reads or writes t\d+ as INT8 .*, expected BINARY"):
        fuse(network(), [sign_and_border])


def test_without_patterns_a_graph_stays_what_it_is() -> None:
    lowered = network()
    same = fuse(lowered, [])
    assert [n.SerializeToString() for n in same.graph.node] == [
        n.SerializeToString() for n in lowered.graph.node
    ]
    assert GoldenExecutor(same).tensors == GoldenExecutor(lowered).tensors


def test_a_fused_graph_folds_by_its_own_names_and_by_those_inside() -> None:
    fused = fuse(network(), [block])
    op = next(getCustomOp(n) for n in fused.graph.node if n.op_type == "Glued_rtl")
    name, unit = op.onnx_node.name, op.leader()
    assert unit in op.stands_for() and "XnorMvu" in unit
    others = [n for n in op.stands_for() if n != unit]
    fold(fused, {unit: {"SIMD": 2, "PE": 4}, others[0]: {"PE": 4}})
    assert folding_of(fused)[name] == {"SIMD": 2, "PE": 4}
    fold(fused, {unit: {"SIMD": 1, "PE": 2}, name: {"PE": 1}})
    assert folding_of(fused)[name] == {"SIMD": 1, "PE": 1}
    assert set(folding_of(fused)) == {node.name for node in fused.graph.node}


def test_what_cannot_be_set_inside_of_a_fused_node_is_refused() -> None:
    fused = fuse(network(), [block])
    op = next(getCustomOp(n) for n in fused.graph.node if n.op_type == "Glued_rtl")
    name, unit = op.onnx_node.name, op.leader()
    with pytest.raises(FusionError, match=f"{unit}: found attribute ram_style .* {name} stands"):
        fold(fused, {unit: {"SIMD": 1, "ram_style": "block"}})
    for given in (unit, name):
        entry = "" if given == name else f" in an entry {name}, which stands for {unit}, or .*"
        said = rf"{name}: 4 channels cannot be split over PE=3; .*4{entry} \(folding: {given}.PE\)"
        with pytest.raises(FoldingError, match=said):
            fold(fused, {given: {"PE": 3}})


def test_the_rtl_must_show_streams_and_taps_and_says_what_is_gone() -> None:
    lowered = network()
    fused = fuse(lowered, [block])
    stated = coverage("rtl", lowered.model, fused.model)
    taps = {name for n in fused.graph.node for name, _ in ops.op_of(n).taps()}
    assert set(stated.layers) == {"t0"} | streams(fused) | taps
    kinds = {gap.kind: len(gap.layers) for gap in stated.gaps}
    paddings = sum(n.op_type == "FMPadding_rtl" for n in lowered.graph.node)
    # The first convolution stays, with its border and its window.
    assert kinds == {"padded pictures": paddings - 1, "windows": paddings - 1, "stream copies": 24}
    lines = gap_lines([gap.as_json() for gap in stated.gaps])
    ((reason, text),) = lines
    assert "one fused kernel" in reason and f"windows ({paddings - 1})" in text
    assert not coverage("rtl", lowered.model, fuse(lowered, []).model).gaps
    assert coverage("cpu", lowered.model, fused.model).order == stated.order


def test_operations_are_those_of_the_nodes_inside() -> None:
    from finn.analysis.fpgadataflow.op_and_param_counts import op_and_param_counts

    lowered = network()
    total = lowered.analysis(op_and_param_counts)["total"]
    assert total["op_mac_1bx1b"] > 0
    assert fuse(lowered, [block]).analysis(op_and_param_counts)["total"] == total

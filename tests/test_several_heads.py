# SPDX-License-Identifier: Apache-2.0
"""Networks with several outputs: from QONNX to Verilator, every head exact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.builder import boundaries
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.folding import fold
from andpop.hw.graph.heads import Head, Kind, heads_of, kinds_of, write_kinds
from andpop.hw.graph.loader import ModelError, load
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.reference import Reference, classes
from andpop.hw.graph.specialise import specialise
from andpop.hw.graph.verify import verify
from andpop.hw.rtl.simulate import emit, simulate
from andpop.hw.rtl.sizing import size_fifos
from andpop.hw.rtl.top_info import TopInfo
from andpop.quant import synthetic
from andpop.sim.bench import run_cocotb
from andpop.sim.network import Pauses
from foreign_graphs import plain
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from two_heads import three_heads, two_heads


def pictures(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(9).integers(0, 256, (count, side, side, 1), dtype=np.uint8)


def test_each_output_is_a_head_in_their_order() -> None:
    proto = clean(two_heads())
    graph = lower(proto, heads={"codes": "map"})
    label, codes = heads_of(graph.model)
    select = graph.graph.node[-1]
    assert select.op_type == "LabelSelect"
    assert label == Head("label", "class", select.output[0], select.input[0])
    # The codes are read inside too: what leaves is a copy.
    fork = next(n for n in graph.graph.node if n.op_type == "DuplicateStreams")
    assert codes == Head("codes", "map", fork.output[1])
    assert [b.tensor for b in boundaries(graph) if b.reference == "codes"] == [fork.input[0]]


def test_every_head_is_compared_with_exact_arithmetic() -> None:
    proto = clean(two_heads())
    graph = lower(proto, heads={"codes": "map"})
    each = 14 * 14 * 4
    # Of 6 pictures: sums, their codes, the copy of these, five logits and the class.
    assert verify(proto, graph) == 6 * (3 * each + 5 + 1)
    found = run(graph, pictures(20, 16))
    judge = Reference(proto)
    pair = next(b for b in boundaries(graph) if b.reference == "codes")
    label, codes = heads_of(graph.model)
    for i, picture in enumerate(pictures(20, 16)):
        wanted = judge.run(picture[None], ["label", "codes"])
        assert found[label.tensor][i].item() == classes(wanted["label"])[0]
        np.testing.assert_array_equal(found[codes.tensor][i], pair.codes(wanted["codes"])[0])
    assert len(np.unique(found[codes.tensor])) > 5


def test_factors_and_offsets_behind_integers_stand_in_the_boundary() -> None:
    proto = clean(three_heads())
    graph = lower(proto, heads={"scaled": "map", "signs": "raw"})
    assert verify(proto, graph) > 0
    mask, scaled, signs = heads_of(graph.model)
    assert (mask.kind, scaled.kind, signs.kind) == ("class_map", "map", "raw")
    pairs = {b.reference: b for b in boundaries(graph)}
    assert pairs["scaled"].scale == pairs["mask"].scale / 2
    assert pairs["scaled"].offset == [3.0] * 3
    assert pairs["signs"].bipolar
    found = run(graph, pictures(3, 8))
    judge = Reference(proto)
    for i, picture in enumerate(pictures(3, 8)):
        wanted = judge.run(picture[None], ["scaled"])["scaled"]
        codes = found[scaled.tensor][i].transpose(2, 0, 1)
        np.testing.assert_array_equal(codes * pairs["scaled"].scale + 3.0, wanted[0])
    assert set(np.unique(found[signs.tensor])) == {0, 1}


def test_one_output_is_one_head_and_its_graph_as_before() -> None:
    proto = clean(plain())
    graph = lower(proto)
    (head,) = heads_of(graph.model)
    assert head.name == proto.graph.output[0].name
    assert (head.kind, head.tensor) == ("class", "argmax_LabelSelect_out")
    assert "DuplicateStreams" not in {n.op_type for n in graph.graph.node}


def test_a_network_says_itself_what_its_outputs_are(tmp_path: Path) -> None:
    """Through the door: its names become plain words, in the entry too."""
    proto = two_heads(codes="head/codes:0")
    write_kinds(proto, {"head/codes:0": "raw"})
    proto.metadata_props.add(key="author", value="__import__('os')")
    onnx.save(proto, tmp_path / "net.onnx")
    network = clean(load(tmp_path / "net.onnx").model)
    assert [p.key for p in network.metadata_props] == ["andpop.head_kinds"]
    assert kinds_of(network) == {"head_codes_0": "raw"}
    assert [(h.name, h.kind) for h in heads_of(lower(network).model)] == [
        ("label", "class"),
        ("head_codes_0", "raw"),
    ]


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"nobody": "raw"}', '{"codes": "boxes"}', '{"codes": ["raw"]}']
)
def test_an_entry_that_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    proto = two_heads()
    proto.metadata_props.add(key="andpop.head_kinds", value=text)
    onnx.save(proto, tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"net\.onnx: (heads|metadata)"):
        load(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({"label": "map"}, r"gives the output label of shape \(1, 5\), expected a map"),
        ({"label": "class_map"}, "gives a class at the output label, expected a class_map"),
        ({"logits": "raw"}, r"found the output 'logits', expected one of \['label', 'codes'\]"),
        ({"codes": "box"}, "found the kind 'box' of codes"),
    ],
)
def test_heads_that_do_not_fit_are_refused(heads: dict[str, Kind], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lower(clean(two_heads()), heads=heads)


def test_one_tensor_under_two_names_is_refused() -> None:
    proto = two_heads()
    proto.graph.node.add(op_type="Identity", input=["codes"], output=["again"], name="same")
    proto.graph.output.add().CopyFrom(proto.graph.output[1])
    proto.graph.output[2].name = "again"
    with pytest.raises(LoweringError, match="expected one picture, and one output or several"):
        lower(clean(proto))


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelWrapper]:
    """The two heads as RTL."""
    folder = tmp_path_factory.mktemp("heads") / "rtl"
    model = fold(specialise(lower(clean(two_heads()), heads={"codes": "map"})), 3000)
    emit(model, folder)
    return folder, model


def test_the_top_has_a_stream_per_head(emitted: tuple[Path, ModelWrapper]) -> None:
    folder, model = emitted
    info = TopInfo.load(folder)
    outputs = info.outputs
    assert [tap.tensor for tap in outputs] == [head.tensor for head in heads_of(model.model)]
    top = (folder / "andpop_top.sv").read_text()
    for number, tap in enumerate(outputs):
        assert f"assign m_axis_{number}_tvalid = {tap.producer}_" in top
    assert "m_axis_2" not in top
    assert {tap.producer for tap in TopInfo.load(folder).taps} >= {n.name for n in model.graph.node}


@pytest.mark.sim
def test_every_head_comes_out_of_the_rtl(emitted: tuple[Path, ModelWrapper]) -> None:
    folder, model = emitted
    sizing = size_fifos(folder)
    assert sizing.interval <= 1.05 * sizing.stated
    shown = pictures(4, 16)
    golden = run(model, shown, keep="all")
    plainly = simulate(folder, shown, capture=True)
    paused = simulate(folder, shown, pauses=Pauses(3, 40, 60))
    for result in (plainly, paused):
        assert list(result.outputs) == [head.tensor for head in heads_of(model.model)]
        for name, found in result.outputs.items():
            np.testing.assert_array_equal(found, golden[name])
    for name, expected in golden.items():
        np.testing.assert_array_equal(plainly.tensors[name], expected)
    assert plainly.interval == sizing.interval
    assert paused.cycles > plainly.cycles


@pytest.mark.sim
def test_every_head_comes_out_under_cocotb(
    emitted: tuple[Path, ModelWrapper], tmp_path: Path
) -> None:
    folder, model = emitted
    info = TopInfo.load(folder)
    shown = pictures(2, 16)
    golden = run(model, shown)
    results = []
    for tap in info.outputs:
        bits = int(DataType[tap.datatype].bitwidth())
        lanes = golden[tap.tensor].reshape(-1, tap.lanes) << (bits * np.arange(tap.lanes))
        results.append(lanes.sum(axis=1).tolist())
    plan = {"inputs": shown.ravel().tolist(), "outputs": results, "patience": 100_000}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    tests = run_cocotb(
        [folder / s for s in info.sources], info.top, ["andpop.sim.tb_network"],
        tmp_path, data=folder, environment={"ANDPOP_PLAN": str(tmp_path / "plan.json")},
    )  # fmt: skip
    assert tests == 2


@pytest.mark.parametrize(
    ("network", "kinds"),
    [
        (two_heads(), {"codes": "map"}),
        (two_heads(), {"label": "raw", "codes": "raw"}),
        (three_heads(), {"scaled": "map", "signs": "raw"}),
    ],
    ids=["map", "raw", "three"],
)
def test_every_head_is_compared_from_the_command(
    network: onnx.ModelProto, kinds: dict[str, Kind], tmp_path: Path
) -> None:
    """Integers that the network reads inside as well leave as a copy: QONNX delivers that too."""
    write_kinds(network, kinds)
    onnx.save(network, tmp_path / "net.onnx")
    synthetic.generate(tmp_path / "pictures", 1, 16, seed=5)
    api.build(tmp_path / "net.onnx", tmp_path / "build", until="pack")
    chosen = ["qonnx", "golden", "cpu"]
    result = api.compare(tmp_path / "build", tmp_path / "pictures", chosen)
    assert result["values_differing"] == 0
    outputs = {head.tensor for head in heads_of(onnx.load(tmp_path / "build/dataflow.onnx"))}
    for backend in ("qonnx", "cpu"):
        assert outputs <= {r["layer"] for r in result["layers"] if r["backend"] == backend}

# SPDX-License-Identifier: Apache-2.0
"""Backends that leave out layers, add some, or come back short are found; values count once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from andpop.flows import api
from andpop.flows.backends import backend as backend_of
from andpop.flows.backends import coverage
from andpop.flows.backends.golden import Golden
from andpop.flows.compare import Tally
from andpop.flows.coverage import Coverage, output_alone
from andpop.flows.errors import CHECK_FAILED, OK, CheckFailed
from andpop.flows.files import BuildFiles
from andpop.hw.cpu.pack import compile_graph
from andpop.hw.graph import executor
from andpop.hw.graph.distinct import distinct_values
from andpop.models.build import build, save_network
from andpop.quant import synthetic
from andpop.quant.checkpoint import Card, InputSize
from andpop.quant.grid import IntArray
from dataflow_graphs import GraphBuilder
from PIL import Image
from program import Run

Tensors = dict[str, IntArray]
SIDE = 32
PICTURES = 3


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with random weights, without RTL."""
    folder = tmp_path_factory.mktemp("coverage")
    torch.manual_seed(2)
    config = {"depth": 8}
    net = build("pa-resnet-small", config)
    net.train()
    with torch.no_grad():
        for _ in range(2):
            net(torch.randint(0, 256, (4, 1, SIDE, SIDE)).float())
    net.freeze()
    card = Card(
        network="pa-resnet-small",
        config=config,
        input=InputSize(height=SIDE, width=SIDE, channels=1),
        classes=[f"class {i}" for i in range(net.config.classes)],
        frozen=True,
    )
    save_network(net, folder / "net.safetensors", card)
    api.build(folder / "net.safetensors", folder / "build", until="pack")
    return folder / "build"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i, name in enumerate(synthetic.CLASSES[:PICTURES]):
        picture = synthetic.picture(name, np.random.default_rng(i), SIDE)
        Image.fromarray(picture[..., 0]).save(folder / f"{i}.png")
    return folder


def branches() -> onnx.ModelProto:
    """Borders and windows, a fork, a split, shuffles, a class: 8 of 15 layers compute nothing."""
    g = GraphBuilder(1)
    picture = g.input((1, 4, 4, 1), "UINT8")
    x = g.int_mvu(g.windows(g.pad(picture, [1] * 4), [3, 3], [1, 1]), 4)
    x = g.epilogue(x)
    kept, rest = g.duplicate(x)
    left, right = g.split(kept, [2, 2])
    x = g.shuffle(g.shuffle(left, right), rest)
    total = g.requant(g.global_pool(x), 5)
    return g.model([g.label(g.int_mvu(total, 5))])


def golden_of(model: onnx.ModelProto, count: int = PICTURES) -> Tensors:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    pixels = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    return executor.run(model, pixels, "all")


# What must be delivered


def first_alone(tensors: Tensors) -> str:
    kept = next(iter(tensors))
    lost = list(tensors)[1]
    for name in [n for n in tensors if n != kept]:
        del tensors[name]
    return lost


def middle_dropped(tensors: Tensors) -> str:
    lost = list(tensors)[len(tensors) // 2]
    del tensors[lost]
    return lost


def last_dropped(tensors: Tensors) -> str:
    lost = list(tensors)[-1]
    del tensors[lost]
    return lost


def one_picture_short(tensors: Tensors) -> str:
    name = list(tensors)[len(tensors) // 2]
    tensors[name] = tensors[name][:-1]
    return name


def one_channel_short(tensors: Tensors) -> str:
    name = list(tensors)[-2]
    tensors[name] = tensors[name][..., :-1]
    return name


def one_picture_more(tensors: Tensors) -> str:
    name = list(tensors)[0]
    tensors[name] = np.concatenate((tensors[name], tensors[name][:1]))
    return name


def no_axis(tensors: Tensors) -> str:
    name = list(tensors)[-1]
    tensors[name] = np.int64(3)  # type: ignore[assignment]
    return name


def no_layer(tensors: Tensors) -> str:
    tensors["nonsense"] = next(iter(tensors.values()))
    return "nonsense"


def nothing(tensors: Tensors) -> str:
    lost = next(iter(tensors))
    tensors.clear()
    return lost


FAULTS = (
    first_alone, middle_dropped, last_dropped, one_picture_short, one_channel_short,
    one_picture_more, no_axis, no_layer, nothing,
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("backend", ["torch", "qonnx", "cpu", "rtl"])
def test_a_backend_that_does_not_keep_its_word_is_named(
    backend: str, fault: Callable[[Tensors], str], built: Path
) -> None:
    model = onnx.load(built / "lowered.onnx")
    golden = golden_of(model)
    stated = coverage(backend, model)
    bits = dict.fromkeys(stated.order, 32)
    got = {name: golden[name] for name in stated.layers}
    Tally(stated, bits).add(golden, got, ["a", "b", "c"])
    layer = fault(got)
    with pytest.raises(CheckFailed, match=rf"^{backend}, layer {layer}: found ") as refusal:
        Tally(stated, bits).add(golden, got, ["a", "b", "c"])
    assert "expected" in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bool", "object"])
def test_values_that_are_no_integers_are_named(dtype: str, built: Path) -> None:
    model = onnx.load(built / "lowered.onnx")
    golden = golden_of(model)
    stated = coverage("cpu", model)
    got = {name: golden[name] for name in stated.layers}
    layer = stated.layers[-1]
    got[layer] = got[layer].astype(dtype)
    with pytest.raises(CheckFailed, match=f"cpu, layer {layer}: found values of {dtype}"):
        Tally(stated, {}).add(golden, got, ["a", "b", "c"])


def test_a_layer_that_a_backend_states_not_to_have_is_surplus(built: Path) -> None:
    model = onnx.load(built / "lowered.onnx")
    golden = golden_of(model)
    stated = coverage("cpu", model)
    padded = next(gap for gap in stated.gaps if gap.kind == "padded pictures").layers[0]
    got = {name: golden[name] for name in (*stated.layers, padded)}
    with pytest.raises(CheckFailed, match=f"cpu, layer {padded}: found a capture, expected none"):
        Tally(stated, {}).add(golden, got, ["a", "b", "c"])


def test_a_golden_model_that_comes_short_is_named_too(built: Path) -> None:
    model = onnx.load(built / "lowered.onnx")
    golden = golden_of(model, 2)
    stated = coverage("cpu", model)
    got = {name: golden[name] for name in stated.layers}
    with pytest.raises(CheckFailed, match="^golden, layer picture: found 2 pictures, expected 3"):
        Tally(stated, {}).add(golden, got, ["a", "b", "c"])


@pytest.mark.parametrize("fault", [first_alone, middle_dropped, one_picture_short, no_layer])
@pytest.mark.parametrize("backend", ["torch", "qonnx", "cpu"])
def test_compare_ends_with_one_line(
    backend: str,
    fault: Callable[[Tensors], str],
    built: Path,
    pictures: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = backend_of(backend)
    whole = kind.run
    said: list[str] = []

    def part(self: Any, pixels: Any) -> Tensors:
        tensors = dict(whole(self, pixels))
        order = {n: tensors[n] for n in Golden(files).order if n in tensors}
        said.append(fault(order))
        return order

    files = BuildFiles(built)
    monkeypatch.setattr(kind, "run", part)
    code, text, err = run(
        "compare", built, "--images", pictures, "--backends", f"golden,{backend}", "--json"
    )
    (line,) = (line for line in err.splitlines() if line.startswith("andpop: "))
    assert code == CHECK_FAILED and text == ""
    assert line.startswith(f"andpop: {backend}, layer {said[0]}: found ")


@pytest.mark.parametrize("backend", ["torch", "qonnx", "cpu"])
def test_every_backend_has_its_class_compared(
    backend: str, built: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = backend_of(backend)
    whole = kind.run
    (output,) = (o.name for o in onnx.load(built / "lowered.onnx").graph.output)

    def wrong(self: Any, pixels: Any) -> Tensors:
        tensors = dict(whole(self, pixels))
        tensors[output] = tensors[output].copy()
        tensors[output][1] += 1
        return tensors

    monkeypatch.setattr(kind, "run", wrong)
    result = api.compare(built, pictures, (backend.lower(),))
    assert result["values_differing"] == 1
    assert result["first_divergence"]["layer"] == output
    assert result["first_divergence"]["picture"] == "1.png"


def test_what_is_stated_leaves_out_what_it_says(built: Path) -> None:
    model = onnx.load(built / "lowered.onnx")
    ops = {name: n.op_type.removesuffix("_rtl") for n in model.graph.node for name in n.output}
    for backend in ("torch", "qonnx", "cpu", "rtl"):
        stated = coverage(backend, model)
        left_out = [name for gap in stated.gaps for name in gap.layers]
        assert sorted((*stated.layers, *left_out)) == sorted(stated.order)
        assert list(stated.order) == ["picture", *ops]
        assert model.graph.output[0].name in stated.layers
        # Everything that computes is looked at by every backend.
        moved = {"FMPadding", "ConvolutionInputGenerator", "DuplicateStreams"}
        inside = {"StreamMaxPool", "GlobalAccPool"} if backend == "torch" else set()
        assert {ops[n] for n in left_out if n != "picture"} <= moved | inside
    assert not coverage("rtl", model).gaps


# Values that are counted


def test_values_are_counted_once_in_golden_order() -> None:
    model = branches()
    everything = coverage("rtl", model)
    sizes = {name: golden.size for name, golden in golden_of(model, 1).items()}
    by_op = {o: n.op_type for n in model.graph.node for o in n.output}
    computing = {"IntMvu", "Epilogue", "GlobalAccPool", "ShiftRequant", "LabelSelect"}
    assert everything.distinct == {
        name: sizes[name] if by_op.get(name, "IntMvu") in computing else 0
        for name in everything.order
    }
    # 16 pixels, 4 x 4 accumulators and streams of 4 channels, 8 sums and codes, 5 logits, a class.
    assert sum(everything.distinct.values()) == 16 + 64 + 64 + 8 + 8 + 5 + 1


def test_a_copy_counts_where_its_source_is_not_looked_at() -> None:
    model = branches()
    ops = {n.op_type: list(n.output) for n in reversed(model.graph.node)}
    (shuffled,) = ops["ShuffleConcat"]
    left, right = ops["StreamingSplit"]
    padded, windows = ops["FMPadding"][0], ops["ConvolutionInputGenerator"][0]
    assert distinct_values(model, [right]) == {right: 32}
    assert distinct_values(model, [left, right, shuffled]) == {left: 32, right: 32, shuffled: 0}
    assert distinct_values(model, [right, shuffled]) == {right: 32, shuffled: 32}
    # The border is no value.
    assert distinct_values(model, [windows]) == {windows: 16}
    assert distinct_values(model, [padded, windows]) == {padded: 16, windows: 0}


def test_pixels_that_no_window_reaches_are_not_counted_for_it() -> None:
    g = GraphBuilder(2)
    windows = g.windows(g.input((1, 6, 5, 1), "UINT8"), [2, 2], [3, 3])
    g.int_mvu(windows, 2)
    model = g.model([f"t{len(g.shapes) - 1}"])
    assert distinct_values(model, [windows])[windows] == 2 * 2 * 4


@pytest.mark.parametrize("whole", [True, False])
def test_second_names_of_one_memory_are_not_counted(whole: bool, built: Path) -> None:
    model = onnx.load(built / "lowered.onnx") if whole else branches()
    plan, _ = compile_graph(model, "test", None)
    stated = coverage("cpu", model)
    assert sorted(stated.layers) == sorted(n for t in plan.tensors for n in t.names)
    shared = [t.names for t in plan.tensors if len(t.names) > 1]
    assert shared
    for names in shared:
        counted = [name for name in names if stated.distinct[name]]
        assert counted in ([], names[:1])
    # The same rule for whoever looks: here the CPU sees every value that there is.
    assert sum(stated.distinct.values()) == sum(coverage("rtl", model).distinct.values())


def test_counts_grow_with_pictures_and_rows_add_up(built: Path) -> None:
    model = onnx.load(built / "lowered.onnx")
    golden = golden_of(model)
    stated = coverage("cpu", model)
    got = {name: golden[name] for name in stated.layers}
    tally = Tally(stated, {})
    tally.add(golden, got, ["a", "b", "c"])
    once = tally.values_compared
    assert once == 3 * sum(stated.distinct.values()) > 3000
    tally.add(golden, got, ["d", "e", "f"])
    assert tally.values_compared == 2 * once
    rows = tally.layers()
    assert sum(row["values_compared"] for row in rows) == tally.values_compared
    assert all(row["elements"] == 2 * golden[row["layer"]].size for row in rows)
    assert all(row["values_compared"] <= row["elements"] for row in rows)


def test_a_copy_that_goes_wrong_differs_all_the_same() -> None:
    model = branches()
    golden = golden_of(model)
    stated = coverage("rtl", model)
    copy = next(list(n.output) for n in model.graph.node if n.op_type == "DuplicateStreams")[1]
    got = {name: golden[name].copy() for name in stated.layers}
    got[copy][0, 0, 0, 0] ^= 1
    tally = Tally(stated, dict.fromkeys(stated.order, 8))
    tally.add(golden, got, ["a", "b", "c"])
    assert tally.values_differing == 1
    assert tally.first is not None and tally.first.layer == copy


def test_the_output_alone_says_so(built: Path) -> None:
    model = onnx.load(built / "lowered.onnx")
    alone = output_alone("rtl", model, "why")
    assert alone.layers == (model.graph.output[0].name,)
    assert {gap.reason for gap in alone.gaps} == {"why"}
    assert sum(len(gap.layers) for gap in alone.gaps) == len(alone.order) - 1
    assert sum(alone.distinct.values()) == 1


def test_a_backend_named_twice_is_compared_once(built: Path, pictures: Path) -> None:
    once, twice = (api.compare(built, pictures, names) for names in (("cpu",), ("cpu", " cpu")))
    assert [row["backend"] for row in twice["backends"]] == ["cpu"]
    assert twice["values_compared"] == once["values_compared"]


# What is shown


def test_the_table_shows_layers_of_layers_and_why(built: Path, pictures: Path, run: Run) -> None:
    arguments = ("compare", built, "--images", pictures, "--backends", "torch,qonnx,cpu")
    code, text, _ = run(*arguments)
    assert code == OK
    model = onnx.load(built / "lowered.onnx")
    for backend in ("torch", "qonnx", "cpu"):
        stated: Coverage = coverage(backend, model)
        assert f"{len(stated.layers)} of {len(stated.order)}" in text
        for gap in stated.gaps:
            line = next(
                line
                for line in text.splitlines()
                if line.startswith(f"{backend}: not compared: ") and line.endswith(gap.reason)
            )
            assert f"{gap.kind} ({len(gap.layers)})" in line
    result = json.loads(run(*arguments, "--json")[1])
    for row in result["backends"]:
        stated = coverage(row["backend"], model)
        assert (row["layers"], row["layers_total"]) == (len(stated.layers), len(stated.order))
        assert row["not_covered"] == [gap.as_json() for gap in stated.gaps]
        assert row["values_compared"] == PICTURES * sum(stated.distinct.values())

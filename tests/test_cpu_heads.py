# SPDX-License-Identifier: Apache-2.0
"""Several named outputs of one network: in the packed model, and as the engine gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows.errors import BAD_INPUT, explain
from andpop.hw.cpu.engine import Engine, instruction_sets
from andpop.hw.cpu.pack import compile_graph, pack
from andpop.hw.cpu.plan import ModelError
from andpop.hw.graph import executor
from andpop.hw.graph.heads import HEADS, Head, HeadsError, heads_of, write_heads
from dataflow_graphs import GraphBuilder
from packed_files import card, parts, resealed

SIDE = 6
PICTURES = np.random.default_rng(2).integers(0, 256, (7, SIDE, SIDE, 3), dtype=np.uint8)


def four_heads() -> tuple[onnx.ModelProto, list[Head]]:
    """A graph with a head of every kind, the class last."""
    g = GraphBuilder(5)
    main, side, rest = g.duplicate(g.int_mvu(g.input((1, SIDE, SIDE, 3), "UINT8"), 4), 3)
    mask = g.label(main)
    depth, pooled = g.duplicate(g.requant(side, 6))
    sums = g.global_pool(pooled)
    logits = g.int_mvu(g.requant(g.global_pool(rest), 8), 5)
    label = g.label(logits)
    model = g.model([mask, depth, sums, label])
    named = [
        Head("defects", "class_map", mask, main),
        Head("depth", "map", depth),
        Head("sums", "raw", sums),
        Head("kind of steel", "class", label, logits),
    ]
    write_heads(model, named)
    return model, named


@pytest.mark.parametrize("isa", instruction_sets())
def test_every_head_equals_its_golden(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDPOP_ISA", isa)
    model, named = four_heads()
    golden = executor.run(model, PICTURES, [head.tensor for head in named])
    engine = Engine(*compile_graph(model, "test", None))
    for threads in (1, 3):
        found = engine.infer(PICTURES, threads)
        assert list(found) == [head.name for head in named]
        mask, depth, sums, label = found.values()
        assert np.array_equal(mask, golden[named[0].tensor][..., 0])
        assert np.array_equal(depth, golden[named[1].tensor])
        assert np.array_equal(sums, golden[named[2].tensor])
        assert np.array_equal(label, golden[named[3].tensor].reshape(-1))
    assert mask.shape == (7, SIDE, SIDE) and depth.shape == (7, SIDE, SIDE, 4)
    assert min(len(np.unique(values)) for values in found.values()) > 1
    assert engine.infer(PICTURES[:0])["depth"].shape == (0, SIDE, SIDE, 4)


def test_heads_are_written_into_the_packed_model(tmp_path: Path) -> None:
    model, named = four_heads()
    path = pack(model, card(4, 3), tmp_path / "net.andpop")
    header, _ = parts(path)
    assert [(h["name"], h["kind"]) for h in header["plan"]["outputs"]] == [
        (head.name, head.kind) for head in named
    ]
    engine = Engine.load(path)
    for head, expected in zip(engine.heads, named, strict=True):
        assert expected.tensor in engine.plan.tensors[head.tensor].names
        names = [] if head.logits is None else engine.plan.tensors[head.logits].names
        assert (expected.logits in names) == bool(expected.logits)
    # The first head that finds classes is the one that the card's names belong to.
    assert engine.labels == 4
    assert engine.mask_shape == (SIDE, SIDE)
    assert np.array_equal(engine.masks(PICTURES), engine.infer(PICTURES)["defects"])
    with pytest.raises(ModelError, match="its card: found 5 class names, expected 4"):
        pack(model, card(5, 3), tmp_path / "other.andpop")


def test_a_network_that_finds_no_classes_runs() -> None:
    g = GraphBuilder()
    depth = g.requant(g.int_mvu(g.input((1, SIDE, SIDE, 3), "UINT8"), 1), 5)
    model = g.model([depth])
    write_heads(model, [Head("depth", "map", depth)])
    engine = Engine(*compile_graph(model, "test", card(3, 3)))
    golden = executor.run(model, PICTURES, [depth])[depth]
    assert np.array_equal(engine.infer(PICTURES)["depth"], golden)
    with pytest.raises(ModelError, match="expected a classifier of pictures or pixels"):
        engine.run(PICTURES)


def test_two_pictures_at_once_are_no_pictures_alone() -> None:
    g = GraphBuilder()
    left, right = (g.input((1, 4, 4, 2), "UINT8") for _ in range(2))
    engine = Engine(*compile_graph(g.model([g.shuffle(left, right)]), "test", None))
    with pytest.raises(ModelError, match="found 2 inputs, expected pictures alone"):
        engine.infer(PICTURES)


def test_heads_of_other_outputs_are_refused() -> None:
    model, named = four_heads()
    write_heads(model, named[::-1])
    with pytest.raises(ModelError, match="build it again"):
        compile_graph(model, "test", None)
    write_heads(model, [*named[:3], Head("kind", "class", named[3].tensor, "nowhere")])
    with pytest.raises(ModelError, match="its logits 'nowhere' are in no tensor"):
        compile_graph(model, "test", None)


@pytest.mark.parametrize("text", ["{", "[1]", '[{"colour": 1}]', "5"])
def test_damaged_heads_are_refused(text: str) -> None:
    """By those who read the graph itself too: as bad input, in one line."""
    model, _ = four_heads()
    (entry,) = (e for e in model.metadata_props if e.key == HEADS)
    entry.value = text
    with pytest.raises(HeadsError, match="found no list of heads in its metadata") as error:
        heads_of(model)
    assert (explain(error.value) or (0, ""))[0] == BAD_INPUT


def head_change(index: int, **values: Any) -> Callable[[dict[str, Any], Any], None]:
    """A change of a head."""
    return lambda header, _: header["plan"]["outputs"][index].update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (head_change(1, kind="boxes"), "header is damaged: plan.outputs.1.kind"),
        (head_change(1, kind="class_map"), "expected them with classes only"),
        (head_change(1, logits=0), "expected them with classes only"),
        (head_change(0, logits=None), "expected them with classes only"),
        (head_change(0, logits=0), "its classes reach 0..3, expected 0..2"),
        (head_change(0, logits=999), "found output 999, expected 0.."),
        (head_change(3, tensor=999), "found output 999, expected 0.."),
        (head_change(3, tensor=0), "found classes of shape [6, 6, 3] from logits"),
        (head_change(0, kind="class"), "found classes of shape [6, 6, 1] from logits [6, 6, 4]"),
        (head_change(3, kind="class_map", logits=0), "found classes of shape [1, 1, 1] from"),
        (head_change(2, name="depth"), "found 'depth', expected one name for each"),
        (head_change(2, name=""), "found '', expected one name for each"),
        (head_change(2, name=7), "header is damaged: plan.outputs.2.name"),
        (head_change(2, colour="red"), "header is damaged: plan.outputs.2"),
        (lambda header, _: header["plan"]["outputs"].clear(), "header is damaged: plan.outputs"),
    ],
    ids=range(15),
)
def test_heads_that_are_none_are_refused(tmp_path: Path, change: Any, words: str) -> None:
    good = pack(four_heads()[0], None, tmp_path / "net.andpop")
    with pytest.raises(ModelError) as error:
        Engine.load(resealed(good, tmp_path / "bad.andpop", change))
    assert words in str(error.value) and "\n" not in str(error.value)

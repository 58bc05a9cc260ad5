# SPDX-License-Identifier: Apache-2.0
"""Folding: every node reaches the target at the least cost, files round-trip, nonsense is named."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from andpop.hw.boards import DEFAULT_BOARD
from andpop.hw.graph import folding
from andpop.hw.graph.executor import run
from andpop.hw.graph.folding import (
    cycles,
    fold,
    folding_of,
    implementations,
    write_folding,
)
from andpop.hw.graph.folding_file import FoldingError, read_folding
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.facts import divisors
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx_block import block, pa_network


@pytest.fixture
def model() -> ModelWrapper:
    return specialise(lower(block()))


def lanes_of_edges(model: ModelWrapper) -> list[tuple[str, int, int]]:
    """(tensor, lanes of its writer, lanes of its reader) for every inner edge."""
    writers = {o: (n, i) for n in model.graph.node for i, o in enumerate(n.output)}
    return [
        (
            name,
            getCustomOp(writers[name][0]).get_folded_output_shape(writers[name][1])[-1],
            getCustomOp(node).get_folded_input_shape(i)[-1],
        )
        for node in model.graph.node
        for i, name in enumerate(node.input)
        if name in writers
    ]


@pytest.mark.parametrize("target", [38, 60, 100, 300, 1000, 100_000])
def test_every_node_reaches_the_target(model: ModelWrapper, target: int) -> None:
    fold(model, target)
    stated = cycles(model)
    assert set(stated) == {n.name for n in model.graph.node}
    assert max(stated.values()) <= target
    for name, writer, reader in lanes_of_edges(model):
        assert max(writer, reader) % min(writer, reader) == 0, name


@pytest.mark.parametrize("target", [1000, 2500])
def test_lanes_at_the_two_ends_of_an_edge_divide_one_another(target: int) -> None:
    # Here the cheapest foldings meet 4 lanes with 18.
    model = fold(specialise(lower(pa_network(1, 4, 5, size=(16, 17), stride=2))), target)
    for name, writer, reader in lanes_of_edges(model):
        assert max(writer, reader) % min(writer, reader) == 0, name


def test_unhurried_network_gets_one_lane(model: ModelWrapper) -> None:
    """Matrix units aside, whose weights lie cheaper in wider words."""
    fold(model, 1_000_000)
    found = folding_of(model).values()
    one = [
        v for values in found if "SIMD" not in values or "PE" not in values for v in values.items()
    ]
    assert {v for name, v in one if name != "implementation"} <= {0, 1}
    assert {v for name, v in one if name == "implementation"} <= {"serial"}


def test_epilogues_take_the_cheapest_implementation_in_time(model: ModelWrapper) -> None:
    """One word after the other where there are cycles for it."""
    (unit,) = [f for f in folding._foldables(model) if f.op.onnx_node.op_type == "Epilogue_rtl"]
    unit.apply({"PE": 1, "implementation": "pipelined"})
    words = unit.cycles()
    paces = {name: unit.op.cycles_per_word(name) for name in ("serial", "pipelined")}
    assert paces["serial"] > paces["pipelined"] == 1
    for target in (
        100 * words,
        *(pace * words - under for pace in paces.values() for under in (0, 1)),
    ):
        folding._cheapest(unit, target, DEFAULT_BOARD.part)
        assert unit.cycles() <= target
        found, chosen = unit.op.costs()[unit.op.resolved()], unit.op.resolved()
        unit.apply({"PE": 1})
        if target >= words:
            # Several lanes one word after the other may take less than one that is faster.
            costs = unit.op.costs()
            fit = [name for name, pace in paces.items() if pace * words <= target]
            assert found <= min(costs[name] for name in fit), (target, fit)
        else:
            assert chosen == "pipelined"


def test_matrix_units_get_the_cheapest_lanes(model: ModelWrapper) -> None:
    target, part = 200, "xc7z020clg400-1"
    node = next(n for n in model.graph.node if n.op_type == "XnorMvu_rtl")
    (unit,) = [f for f in folding._foldables(model) if f.name == node.name]
    folding._cheapest(unit, target, part)
    op = getCustomOp(node)
    chosen = op.get_nodeattr("SIMD"), op.get_nodeattr("PE")
    costs = {}
    for simd, pe in itertools.product(divisors(18), divisors(4)):
        op.set_nodeattr("SIMD", simd)
        op.set_nodeattr("PE", pe)
        if op.get_exp_cycles() <= target:
            costs[simd, pe] = op.lut_estimation(part)
    assert costs[chosen] == min(costs.values())


def test_a_folding_that_takes_exactly_the_target_is_enough(model: ModelWrapper) -> None:
    node = next(n for n in model.graph.node if n.op_type == "IntMvu_rtl")
    op = getCustomOp(node)
    inputs, outputs = op.get_nodeattr("MW"), op.get_nodeattr("MH")
    reached = set()
    for simd, pe in itertools.product(divisors(inputs), divisors(outputs)):
        op.set_nodeattr("SIMD", simd)
        op.set_nodeattr("PE", pe)
        reached.add(int(op.get_exp_cycles()))
    (unit,) = [f for f in folding._foldables(model) if f.name == node.name]
    assert len(reached) > 3
    found = {target: folding._cheapest(unit, target, DEFAULT_BOARD.part) for target in reached}
    assert all(cycles <= target for target, cycles in found.items())
    assert sum(cycles == target for target, cycles in found.items()) > len(reached) / 2


def test_window_unrolls_when_channels_are_not_enough(model: ModelWrapper) -> None:
    fold(model, 60)
    (window,) = (v for v in folding_of(model).values() if "parallel_window" in v)
    assert window == {"SIMD": 2, "parallel_window": 1}
    fold(model, 1000)
    (window,) = (v for v in folding_of(model).values() if "parallel_window" in v)
    assert window["parallel_window"] == 0


@pytest.mark.parametrize("target", [1500, 1700, 3000])
def test_borders_keep_up_with_the_windows_behind_them(target: int) -> None:
    model = fold(specialise(lower(pa_network(1, 4, 5, size=(16, 17), stride=2))), target)
    lanes = {name: value["SIMD"] for name, value in folding_of(model).items() if "SIMD" in value}
    checked = 0
    for layer in ("stem", "basic", "down"):
        window = folding_of(model)[f"{layer}_ConvolutionInputGenerator"]
        if not window["parallel_window"]:
            assert lanes[f"{layer}_FMPadding"] >= window["SIMD"]
            checked += 1
    assert checked


def test_folding_changes_no_value(model: ModelWrapper) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 2), dtype=np.uint8)
    expected = run(model, pictures, "all")
    folded = run(fold(model, 40), pictures, "all")
    for name, value in expected.items():
        np.testing.assert_array_equal(value, folded[name])


def test_names_the_node_that_misses_the_target(model: ModelWrapper) -> None:
    with pytest.raises(FoldingError, match=r"cannot reach 10 cycles per frame; its best is (\d+)"):
        fold(model, 10)
    with pytest.raises(FoldingError, match="expected 1 or more"):
        fold(model, 0)


def test_best_of_the_missing_node_is_reachable(model: ModelWrapper) -> None:
    with pytest.raises(FoldingError) as caught:
        fold(model, 1)
    best = int(str(caught.value).rsplit("set the target to ", 1)[1].split()[0])
    assert max(cycles(fold(model, best)).values()) == best
    with pytest.raises(FoldingError, match=f"its best is {best}"):
        fold(model, best - 1)


def test_folding_round_trips_through_its_file(model: ModelWrapper, tmp_path: Path) -> None:
    path = tmp_path / "folding.json"
    write_folding(fold(model, 60), path)
    wanted, stated = folding_of(model), cycles(model)
    fold(model, 1_000_000)
    fold(model, read_folding(path))
    assert folding_of(model) == wanted
    assert cycles(model) == stated


def test_defaults_reach_the_ops_they_name(model: ModelWrapper) -> None:
    epilogue = next(n.name for n in model.graph.node if n.op_type == "Epilogue_rtl")
    fold(
        model,
        {
            "Defaults": {
                "PE": [2, ["Epilogue_rtl", "XnorMvu_rtl"]],
                "SIMD": [2, ["FMPadding_rtl"]],
            },
            epilogue: {"PE": 4},
        },
    )
    found = {n.op_type: folding_of(model)[n.name] for n in model.graph.node}
    assert found["Epilogue_rtl"]["PE"] == 4
    assert found["XnorMvu_rtl"] == {"SIMD": 1, "PE": 2}
    assert found["FMPadding_rtl"] == {"SIMD": 2}
    assert found["LabelSelect_rtl"] == {"PE": 1}


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        (
            "XnorMvu_rtl",
            {"SIMD": 4},
            "18 channels cannot be split over SIMD=4; use one of 1,2,3,6,9,18",
        ),
        ("Epilogue_rtl", {"PE": 0}, "4 channels cannot be split over PE=0"),
        ("Epilogue_rtl", {"PE": "2"}, "cannot be split over PE='2'"),
        ("Epilogue_rtl", {"SIMD": 2}, "found attribute SIMD, expected PE"),
        ("FMPadding_rtl", {"inFIFODepths": [3]}, "FIFO depths belong into fifo.json"),
        (
            "ConvolutionInputGenerator_rtl",
            {"SIMD": 1, "parallel_window": 1},
            "parallel_window=1 with SIMD=1, expected SIMD=2",
        ),
        ("ConvolutionInputGenerator_rtl", {"parallel_window": 3}, "found parallel_window=3"),
    ],
)
def test_names_an_impossible_folding(
    model: ModelWrapper, op: str, attributes: dict[str, object], message: str
) -> None:
    name = next(n.name for n in model.graph.node if n.op_type == op)
    with pytest.raises(FoldingError) as caught:
        fold(model, {name: attributes})
    text = str(caught.value)
    assert text.startswith(f"{name}: ")
    assert message in text
    assert f"(folding: {name}." in text
    assert "\n" not in text


@pytest.fixture(params=["free", "linear"])
def piecewise(request: pytest.FixtureRequest) -> ModelWrapper:
    return specialise(lower(pa_network(0, linear=request.param == "linear")))


def test_piecewise_units_fold_and_keep_their_implementation(
    piecewise: ModelWrapper, tmp_path: Path
) -> None:
    fold(piecewise, 300)
    assert max(cycles(piecewise).values()) <= 300
    units = implementations(piecewise)
    assert set(units) == {
        f"{block}_{op}"
        for block in ("basic", "short", "down")
        for op in ("PaMvu", "act_SignedThresholding")
    }
    for name, (chosen, luts) in units.items():
        assert luts[chosen] == min(luts.values())
        assert folding_of(piecewise)[name]["implementation"] == "auto"
    path = tmp_path / "folding.json"
    folding = folding_of(piecewise)
    folding["basic_PaMvu"]["implementation"] = "literal"
    folding["down_act_SignedThresholding"]["implementation"] = "search"
    path.write_text(json.dumps(folding), encoding="utf-8")
    fold(piecewise, read_folding(path))
    assert folding_of(piecewise) == folding
    assert implementations(piecewise)["basic_PaMvu"][0] == "literal"
    assert implementations(piecewise)["down_act_SignedThresholding"][0] == "search"


def test_names_an_impossible_implementation() -> None:
    model = specialise(lower(pa_network(0)))
    with pytest.raises(FoldingError, match="basic_PaMvu: found implementation='fast', expected"):
        fold(model, {"basic_PaMvu": {"implementation": "fast"}})
    with pytest.raises(ValueError, match="basic_PaMvu: found implementation planes with levels"):
        fold(model, {"basic_PaMvu": {"implementation": "planes"}})


@pytest.mark.parametrize(
    "entry",
    [[], [1], [1, 5], [1, "all", 2], [1, {"all": 1}], [1, ["all", 5]], "all", 3, None, {"a": 1},
     [1, "every"]],
)  # fmt: skip
def test_names_a_default_of_the_wrong_form(model: ModelWrapper, entry: object) -> None:
    with pytest.raises(FoldingError, match="Defaults.PE: found .*, expected \\[value, \\[op types"):
        fold(model, {"Defaults": {"PE": entry}})


@pytest.mark.parametrize(
    "value",
    [0, -1, 1.0, True, False, None, "1", [1], {}, 10**30, math.nan, math.inf, "x" * 10**5],
    ids=lambda value: repr(value)[:30],
)
def test_names_lanes_that_are_no_divisor(model: ModelWrapper, value: object) -> None:
    name = next(iter(folding_of(model)))
    attribute = next(iter(folding_of(model)[name]))
    with pytest.raises(FoldingError, match=f"cannot be split over {attribute}=") as caught:
        fold(model, {name: {attribute: value}})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [True, 1.0, "1", [1], None, 2, -1])
def test_names_a_window_that_is_no_switch(model: ModelWrapper, value: object) -> None:
    name = next(n for n, attributes in folding_of(model).items() if "parallel_window" in attributes)
    with pytest.raises(FoldingError, match="found parallel_window=.*, expected 0 or 1"):
        fold(model, {name: {"parallel_window": value}})


@pytest.mark.parametrize("value", [5, ["block"], None, True, "fast", {}])
def test_names_a_memory_that_is_none(model: ModelWrapper, value: object) -> None:
    name = next(
        n.name for n in model.graph.node if "ram_style" in getCustomOp(n).get_nodeattr_types()
    )
    with pytest.raises(FoldingError, match=f"{name}: found ram_style=.*, expected"):
        fold(model, {name: {"ram_style": value}})


@pytest.mark.parametrize("value", [[], {}, None, 5])
def test_names_an_implementation_that_is_no_word(value: object) -> None:
    model = specialise(lower(pa_network(0)))
    with pytest.raises(FoldingError, match="basic_PaMvu: found implementation=.*, expected one"):
        fold(model, {"basic_PaMvu": {"implementation": value}})


def test_names_an_unknown_node(model: ModelWrapper) -> None:
    with pytest.raises(FoldingError, match="conv99: found no such node"):
        fold(model, {"conv99": {"PE": 1}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "found no JSON"),
        ("", "found no JSON"),
        ("[1]", "found no map"),
        (json.dumps({"a": 3}), "found no map"),
        ("{}", "says nothing of any node"),
        ('{"Defaults": {}}', "says nothing of any node"),
        ('{"a": {"PE": 1}, "a": {"PE": 2}}', "found 'a' twice"),
        ('{"a": {"PE": 1, "PE": 2}}', "found 'PE' twice"),
        ('{"a": {"PE": ' + "9" * 5000 + "}}", "found no JSON"),
        ("[" * 100_000, "found too many levels"),
        ('{"a": {"PE": 1}}' + " " * (16 << 20), "found more than 16,777,216 bytes"),
    ],
    ids=lambda value: value[:30],
)
def test_names_a_broken_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "folding.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FoldingError, match=message):
        read_folding(path)
    with pytest.raises(FoldingError, match="No such file"):
        read_folding(tmp_path / "absent.json")

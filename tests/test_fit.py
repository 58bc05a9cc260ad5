# SPDX-License-Identifier: Apache-2.0
"""A network and its board: the sum over nodes, what is traded, what is refused and how."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from andpop.flows import api
from andpop.hw.boards import DEFAULT_BOARD, Board, boards
from andpop.hw.graph.executor import run as execute
from andpop.hw.graph.fit import DoesNotFit, Fit, Fitting, Shares, fits, limiting
from andpop.hw.graph.folding import folding_of
from andpop.hw.graph.folding_file import FoldingError
from andpop.hw.graph.insert_streams import insert_streams
from andpop.hw.graph.ops import op_of
from andpop.hw.graph.specialise import specialise
from andpop.hw.graph.usage import RESOURCES, Usage, network_usage, total, usage_of
from dataflow_graphs import bi_shufflenet, pictures_for
from networks import RANDOM
from program import Run
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

WHOLE = Shares(100, 100, 100)
TARGET = 4000


def board(**values: int) -> Board:
    """The default board with less of some resource."""
    return DEFAULT_BOARD.model_copy(update={"name": "tiny", **values})


@pytest.fixture(scope="module")
def lowered() -> ModelWrapper:
    network = bi_shufflenet((32, 32), plan=(4, 8, 16, 32, 32), repeats=(1, 1, 1))
    return specialise(ModelWrapper(network))


@pytest.fixture(scope="module")
def free(lowered: ModelWrapper) -> Fit:
    """The network on a board with room for all."""
    return Fitting(lowered, DEFAULT_BOARD, Shares()).at(TARGET)


def test_a_network_takes_what_its_nodes_and_edges_state(free: Fit) -> None:
    stitched = insert_streams(free.model)
    names = [node.name for node in stitched.graph.node]
    assert [row.name for row in free.rows] == names
    depths = {n.name: 77 for n in stitched.graph.node if n.op_type == "StreamingFIFO_rtl"}
    assert len(depths) > 3
    stitched = insert_streams(free.model, depths)
    stated = [usage_of(op_of(node), DEFAULT_BOARD.part) for node in stitched.graph.node]
    found = network_usage(free.model, DEFAULT_BOARD.part, depths)
    assert [row.usage for row in found] == stated
    assert found == network_usage(stitched, DEFAULT_BOARD.part)
    for name in RESOURCES:
        assert getattr(total(found), name) == sum(getattr(usage, name) for usage in stated)


def test_fifos_are_expected_about_as_deep_as_words_wait(free: Fit) -> None:
    """Not as deep as the storage that sizing gives them."""
    expected = total(free.rows)
    storage = total(network_usage(insert_streams(free.model), DEFAULT_BOARD.part))
    assert expected.bram18 < storage.bram18


def test_what_fits_is_left_alone(lowered: ModelWrapper, free: Fit) -> None:
    assert free.fits and not free.moves and not free.notes
    assert free.cycles <= TARGET
    near = Fitting(lowered, DEFAULT_BOARD, Shares()).near(TARGET)
    assert folding_of(near.model) == folding_of(free.model) and not near.notes


def test_shares_are_of_the_board() -> None:
    allowed = Shares(50, 25, 10).of(board(lut=1000, bram18=100, dsp=30, ff=2000, lutram=400))
    assert allowed == Usage(lut=500, ff=2000, lutram=400, bram18=25, dsp=3)
    assert fits(allowed, allowed) and not fits(allowed + Usage(dsp=1), allowed)
    assert limiting(Usage(lut=400, bram18=26), allowed) == "bram18"


def test_memories_leave_block_ram_when_there_is_too_little(
    lowered: ModelWrapper, free: Fit
) -> None:
    """What is left open moves; the network computes the same, and its folding file says it."""
    less = free.used.bram18 - 2
    found = Fitting(lowered, board(bram18=less), WHOLE).at(TARGET)
    assert found.fits and found.moves
    assert found.used.bram18 <= less < free.used.bram18
    assert found.used.lut > free.used.lut
    assert all(move.change.bram18 < 0 for move in found.moves)
    for move in found.moves:
        node = next(n for n in found.model.graph.node if n.name == move.node)
        assert getCustomOp(node).get_nodeattr(move.attribute) == move.value
        assert folding_of(found.model)[move.node][move.attribute] == move.value
    again = Fitting(lowered, board(bram18=less), WHOLE).given(folding_of(found.model))
    assert folding_of(again.model) == folding_of(found.model) and not again.moves
    pictures = pictures_for(lowered, 2)
    before, after = (execute(fit.model, pictures) for fit in (free, found))
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


def test_the_cheapest_memories_move_first(lowered: ModelWrapper, free: Fit) -> None:
    """One block too many costs no more LUTs than any other move that gives one."""
    found = Fitting(lowered, board(bram18=free.used.bram18 - 1), WHOLE).at(TARGET)
    (move,) = found.moves
    for node in free.model.graph.node:
        op = op_of(node)
        before = usage_of(op, DEFAULT_BOARD.part)
        for attribute, places in op.places.items():
            kept = op.get_nodeattr(attribute)
            op.set_nodeattr(attribute, places[-1])
            change = usage_of(op, DEFAULT_BOARD.part) - before
            op.set_nodeattr(attribute, kept)
            if change.bram18 < 0:
                assert move.change.lut / -move.change.bram18 <= change.lut / -change.bram18


def test_dsps_are_traded_for_luts(lowered: ModelWrapper, free: Fit) -> None:
    found = Fitting(lowered, board(dsp=free.used.dsp - 1), WHOLE)
    try:
        fit = found.at(TARGET)
    except DoesNotFit as error:
        assert f"found {free.used.dsp} DSP blocks" in str(error)
    else:
        assert fit.used.dsp < free.used.dsp


def test_a_target_that_does_not_fit_is_refused_with_one_that_does(
    lowered: ModelWrapper,
) -> None:
    """By how much it misses, who takes most, what helps: one line."""
    fast = 2000
    quick = Fitting(lowered, DEFAULT_BOARD, WHOLE).at(fast).used
    slow = Fitting(lowered, DEFAULT_BOARD, WHOLE).at(20_000).used
    assert slow.lut < quick.lut
    small = board(lut=(slow.lut + quick.lut) // 2)
    fitting = Fitting(lowered, small, WHOLE, fps=lambda cycles: 1e8 / cycles)
    with pytest.raises(DoesNotFit) as refused:
        fitting.at(fast)
    text = str(refused.value)
    for part in (
        "does not fit tiny at 2,000 cycles per frame (50,000 FPS): found ",
        f"LUTs, expected at most {small.lut:,} (100% of {small.lut:,}); most of them in ",
        "times slower, at ",
        "a smaller --input",
        "--width",
    ):
        assert part in text, text
    assert "\n" not in text
    largest = text.split("most of them in ")[1].split(";")[0].split(", ")
    assert len(largest) >= 3

    found = fitting.near(fast)
    assert found.fits and fast < found.cycles < 20_000
    (note,) = found.notes
    assert "2,000 cycles per frame" in note and f"{found.cycles:,} cycles" in note
    # Nothing much faster fits.
    with pytest.raises(DoesNotFit):
        fitting.at(int(found.cycles / 1.2))


def test_a_board_that_is_too_small_at_any_pace(lowered: ModelWrapper) -> None:
    fitting = Fitting(lowered, board(lut=500, part="xc7z007s"), WHOLE)
    for ask in (fitting.at, fitting.near):
        with pytest.raises(DoesNotFit, match=r"tiny at .*pace.*--board \S+, or train"):
            ask(TARGET)


def test_a_folding_of_the_users_is_not_changed(lowered: ModelWrapper, free: Fit) -> None:
    folding = folding_of(free.model)
    with pytest.raises(DoesNotFit, match="with this folding"):
        Fitting(lowered, board(lut=500), WHOLE).given(folding)


def test_nothing_is_claimed_of_luts_with_four_inputs(lowered: ModelWrapper) -> None:
    ecp5 = boards()["ulx3s-85f"]
    found = Fitting(lowered, ecp5.model_copy(update={"lut": 1, "ff": 1}), WHOLE).at(TARGET)
    assert found.fits is None and not found.moves
    (note,) = found.notes
    assert "4 inputs" in note and "not known" in note


def test_a_target_out_of_reach_is_the_users_error(lowered: ModelWrapper) -> None:
    with pytest.raises(FoldingError, match="cannot reach 1 cycles"):
        Fitting(lowered, DEFAULT_BOARD, WHOLE).at(1)
    nearest = Fitting(lowered, DEFAULT_BOARD, WHOLE).near(1)
    assert nearest.fits and nearest.notes


def test_a_build_says_what_it_takes(tmp_path: Path) -> None:
    """fit.json of the fold step, and what the program prints of it."""

    checkpoint = RANDOM.checkpoint(tmp_path)
    result = api.build(
        checkpoint, tmp_path / "build", target_cycles=RANDOM.target_cycles, until="fold"
    )
    stored = json.loads((tmp_path / "build" / "fit.json").read_text())
    assert result["fit"] == stored and stored["fits"] is True
    assert {r["resource"] for r in stored["resources"]} >= {"lut", "bram18", "dsp"}
    assert sum(n["lut"] for n in stored["nodes"]) == stored["resources"][0]["used"]


def test_a_build_that_does_not_fit_ends_with_1(run: Run, tmp_path: Path) -> None:
    checkpoint = RANDOM.checkpoint(tmp_path)
    code, _, err = run(
        "build", checkpoint, "--out", tmp_path / "b", "--until", "fold", "--lut-share", "0.5"
    )
    text = " ".join(err.split())
    assert code == 1 and "does not fit pynq-z2" in text and "expected at most 266" in text
    assert not (tmp_path / "b").exists()
    code, _, err = run(
        "build", checkpoint, "--out", tmp_path / "b", "--until", "fold", "--lut-share", "0"
    )
    assert code == 2 and "lut_share" in err

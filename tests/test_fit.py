# SPDX-License-Identifier: Apache-2.0
"""A network and its board: the sum over nodes, what is traded, what is refused and how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from andpop.hw.boards import DEFAULT_BOARD, Board, boards
from andpop.hw.graph.executor import run as execute
from andpop.hw.graph.fifo_sizing import choose_depths, load_depths, save_depths
from andpop.hw.graph.fit import DoesNotFit, Fit, Fitting, Shares, limiting
from andpop.hw.graph.folding import folding_of
from andpop.hw.graph.folding_file import FoldingError
from andpop.hw.graph.insert_streams import insert_streams
from andpop.hw.graph.specialise import specialise
from andpop.hw.graph.usage import network_usage, total
from andpop.hw.kernels.costs import RESOURCES, Usage
from andpop.hw.kernels.ops import op_of
from andpop.hw.rtl.emit_top import set_depths
from andpop.hw.rtl.settle import settle_fifos
from dataflow_graphs import GraphBuilder, pictures_for
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

WHOLE = Shares(100, 100, 100)
TARGET = 100_000
FAST = 8000
"""Cycles per frame that fused kernels do not reach."""


def board(**values: int) -> Board:
    """The default board with less of some resource."""
    return DEFAULT_BOARD.model_copy(update={"name": "tiny", **values})


@pytest.fixture(scope="module")
def lowered() -> ModelWrapper:
    """Three 1-bit layers of 64 channels, with weights for several block RAMs each."""
    g = GraphBuilder(0)
    x = g.input((1, 8, 8, 1), "UINT8")
    x = g.epilogue(g.int_mvu(g.windows(g.pad(x, [1] * 4), [3, 3], [1, 1]), 64))
    for _ in range(3):
        x = g.identity_block(x, 3)
    x = g.requant(g.global_pool(x), 6)
    x = g.int_mvu(x, 5, bias=g.rng.integers(-1000, 1000, 5))
    return specialise(ModelWrapper(g.model([g.label(x)])))


@pytest.fixture(scope="module")
def free(lowered: ModelWrapper) -> Fit:
    """The network on a board with room for all."""
    return Fitting(lowered, DEFAULT_BOARD, Shares()).at(TARGET)


@pytest.fixture(scope="module")
def fast(lowered: ModelWrapper) -> Fit:
    """The same with a FIFO beside each layer."""
    return Fitting(lowered, DEFAULT_BOARD, Shares()).at(FAST)


def test_a_network_takes_what_its_nodes_and_edges_state(fast: Fit) -> None:
    stitched = insert_streams(fast.model)
    names = [node.name for node in stitched.graph.node]
    assert [row.name for row in fast.rows] == names
    depths = {n.name: 77 for n in stitched.graph.node if n.op_type == "StreamingFIFO_rtl"}
    assert len(depths) >= 3
    stitched = insert_streams(fast.model, depths)
    stated = [op_of(node).stated() for node in stitched.graph.node]
    found = network_usage(fast.model, depths)
    assert [row.usage for row in found] == stated
    assert found == network_usage(stitched)
    for name in RESOURCES:
        assert getattr(total(found), name) == sum(getattr(usage, name) for usage in stated)


def test_fifos_are_expected_about_as_deep_as_words_wait(fast: Fit) -> None:
    """Not as deep as the storage that sizing gives them."""
    expected = total(fast.rows)
    storage = total(network_usage(insert_streams(fast.model)))
    assert expected.bram18 < storage.bram18


def test_what_fits_is_left_alone(lowered: ModelWrapper, free: Fit) -> None:
    assert free.fits and not free.moves and not free.notes
    assert free.cycles <= TARGET
    near = Fitting(lowered, DEFAULT_BOARD, Shares()).near(TARGET)
    assert folding_of(near.model) == folding_of(free.model) and not near.notes


def test_shares_are_of_the_board() -> None:
    allowed = Shares(50, 25, 10).of(board(lut=1000, bram18=100, dsp=30, ff=2000, lutram=400))
    assert allowed == Usage(lut=500, ff=2000, lutram=400, bram18=25, dsp=3)
    assert allowed.within(allowed) and not (allowed + Usage(dsp=1)).within(allowed)
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
        before = op.stated()
        for attribute, places in op.places.items():
            kept = op.get_nodeattr(attribute)
            op.set_nodeattr(attribute, places[-1])
            change = op.stated() - before
            op.set_nodeattr(attribute, kept)
            if change.bram18 < 0:
                assert move.change.lut / -move.change.bram18 <= change.lut / -change.bram18


def test_dsps_are_traded_for_luts(lowered: ModelWrapper, fast: Fit) -> None:
    """Where a folding leaves open how the first convolution is computed."""
    folding = folding_of(fast.model)
    (name,) = (n.name for n in fast.model.graph.node if n.op_type == "ImageConv_rtl")
    del folding[name]["implementation"]
    plain = Fitting(lowered, DEFAULT_BOARD, WHOLE).given(folding).used
    found = Fitting(lowered, board(dsp=plain.dsp - 1), WHOLE).given(folding)
    (move,) = found.moves
    assert (move.node, move.attribute, move.value) == (name, "implementation", "paired")
    assert found.used.dsp < plain.dsp and found.used.lut > plain.lut


def test_a_target_that_does_not_fit_is_refused_with_one_that_does(
    lowered: ModelWrapper,
) -> None:
    """By how much it misses, who takes most, what helps: one line."""
    fast = 10_000
    quick = Fitting(lowered, DEFAULT_BOARD, WHOLE).at(fast).used
    slow = Fitting(lowered, DEFAULT_BOARD, WHOLE).at(2_000_000).used
    assert slow.lut < quick.lut
    blocks = max(slow.bram18, quick.bram18)
    small = board(lut=(slow.lut + quick.lut) // 2, bram18=blocks)
    told: list[tuple[int, int]] = []
    fitting = Fitting(
        lowered, small, WHOLE,
        fps=lambda cycles: 1e8 / cycles, progress=lambda done, most: told.append((done, most)),
    )  # fmt: skip
    with pytest.raises(DoesNotFit) as refused:
        fitting.at(fast)
    assert [done for done, _ in told[:3]] == [0, 1, 2] and len({most for _, most in told}) == 1
    assert told[-1][0] == told[-1][1] and all(done <= most for done, most in told)
    text = str(refused.value)
    for part in (
        "does not fit tiny at 10,000 cycles per frame (10,000 FPS): found ",
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
    assert found.fits and fast < found.cycles < 2_000_000
    (note,) = found.notes
    assert "10,000 cycles per frame" in note and f"{found.cycles:,} cycles" in note
    # Nothing much faster fits.
    with pytest.raises(DoesNotFit):
        fitting.at(int(found.cycles / 1.2))


def test_the_search_for_a_pace_ends_beside_one_of_few_cycles(
    lowered: ModelWrapper, free: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between 8 cycles, which do not fit, and 9 there is nothing to try."""
    fitting = Fitting(lowered, DEFAULT_BOARD, WHOLE)
    tried: list[int] = []

    def attempt(self: Fitting, target: int) -> Fit | None:
        tried.append(target)
        assert len(tried) < 50
        found = replace(free)
        monkeypatch.setattr(Fit, "cycles", target)
        return found if target >= 9 else None

    monkeypatch.setattr(Fitting, "_tried", attempt)
    found = fitting._fastest(8)
    assert found is not None and 9 in tried


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


def test_fifos_find_a_place_once_they_are_sized(fast: Fit, tmp_path: Path) -> None:
    """Those that leave block RAM are as deep as their peak needs; package and table say it."""
    stitched = insert_streams(fast.model)
    names = [n.name for n in stitched.graph.node if n.op_type == "StreamingFIFO_rtl"]
    widths = {
        n: int(op_of(node).get_instream_width())
        for node in stitched.graph.node
        for n in (node.name,)
        if n in names
    }
    peaks = {name: 700 if widths[name] >= 8 else 2 for name in names}
    fifos = choose_depths(names, [widths[n] for n in names], [peaks[n] for n in names])
    insert_streams(fast.model, {f.name: f.depth for f in fifos}).save(
        str(tmp_path / "stitched.onnx")
    )
    save_depths(fifos, tmp_path / "fifo.json")
    set_depths(tmp_path, {f.name: f.depth for f in fifos})
    before = (tmp_path / "fifo_depths_pkg.sv").read_text()
    plain = total(network_usage(fast.model, {f.name: f.depth for f in fifos}))

    room = WHOLE.of(DEFAULT_BOARD)
    assert total(settle_fifos(tmp_path, room)) == plain
    assert (tmp_path / "fifo_depths_pkg.sv").read_text() == before
    less = replace(room, bram18=plain.bram18 - 2)
    settled = total(settle_fifos(tmp_path, less))
    assert settled.bram18 <= less.bram18 and settled.lut > plain.lut
    text = (tmp_path / "fifo_depths_pkg.sv").read_text()
    moved = [f for f in load_depths(tmp_path / "fifo.json") if f.depth == 704]
    assert 1 <= len(moved) <= 2
    for fifo in moved:
        assert f"{fifo.name} = 704;" in text and f"{fifo.name}_block = 0;" in text
        assert fifo.bits == 704 * fifo.width and fifo.peak == 700
    for fifo in load_depths(tmp_path / "fifo.json"):
        assert fifo.depth >= fifo.peak

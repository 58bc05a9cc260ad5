# SPDX-License-Identifier: Apache-2.0
"""Every board's file is whole, and what it says agrees with FINN where FINN knows the board."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from andpop.flows.config import BuildConfig
from andpop.flows.errors import BAD_INPUT, explain
from andpop.hw import boards as andpop_boards
from andpop.hw.boards import DEFAULT, HERE, BoardError, UnknownBoard, boards, find
from andpop.hw.graph.folding import fold
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.base import RtlKernel
from andpop.hw.rtl.simulate import emit
from andpop.hw.rtl.top_info import TopInfo
from qonnx_block import block

FINN_ROUNDS = 0.03
"""FINN's table of platforms gives thousands of LUTs and leaves some blocks of RAM out."""
ISSUED = {
    "pynq-z1",
    "pynq-z2",
    "ultra96-v2",
    "zcu104",
    "kv260",
    "aup-zu3",
    "ulx3s-85f",
    "zybo-z7-10",
}


def test_the_boards_of_the_documents_are_there() -> None:
    assert set(boards()) >= ISSUED
    assert DEFAULT in boards()


def test_parts_are_those_of_finn() -> None:
    from finn.util.basic import pynq_native_port_width, pynq_part_map

    for name, part in pynq_part_map.items():
        assert find(name).part == part, name
        assert find(name).dram_port_bits == pynq_native_port_width[name], name


def test_capacities_are_those_of_finn() -> None:
    from finn.util.platforms import platforms

    known = {
        b for b in platforms if any(b.lower() in (x.name, *x.aliases) for x in boards().values())
    }
    assert len(known) >= 6
    for name in known:
        ((lut, ff, bram18, uram, dsp),) = platforms[name]().compute_resources
        board = find(name)
        assert board.lut == pytest.approx(lut, rel=FINN_ROUNDS), name
        assert board.ff == pytest.approx(ff, rel=FINN_ROUNDS), name
        assert board.dsp == dsp, name
        assert 0 <= board.bram18 - bram18 <= 20 and 0 <= board.uram - uram <= 4, name


@pytest.mark.parametrize("name", list(boards()))
def test_figures_hang_together(name: str) -> None:
    board = boards()[name]
    assert board.lutram <= board.lut <= board.ff
    assert board.lutram_bits <= 1 << board.lut_inputs
    assert find(name.upper()) is board
    assert all(find(alias) is board for alias in board.aliases)


def test_names_are_told_apart() -> None:
    names = [n for b in boards().values() for n in (b.name, *b.aliases)]
    assert len(names) == len(set(names))
    with pytest.raises(UnknownBoard, match="found 'nonsense', expected one of aup-zu3, ecpix-5"):
        find("nonsense")


@pytest.mark.parametrize("name", list(boards()))
def test_a_clock_is_the_boards_own_unless_it_is_given(name: str) -> None:
    assert BuildConfig(board=name).clock_mhz == boards()[name].clock_mhz
    assert BuildConfig(board=name, clock_mhz=123.0).clock_mhz == 123.0


@pytest.mark.parametrize("name", ["zcu104", "ulx3s-85f"])
def test_part_and_clock_reach_every_generator(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = fold(specialise(lower(block()), find(name).part), 1000, find(name).part)
    told = set()
    plain = RtlKernel.generate_hdl

    def generate(self: Any, model: Any, part: str, clk: float) -> None:
        told.add((type(self).__name__, part, clk))
        plain(self, model, part, clk)

    monkeypatch.setattr(RtlKernel, "generate_hdl", generate)
    info = emit(model, tmp_path / "rtl", find(name), 80.0)
    assert (info.board, info.clock_mhz) == (name, 80.0)
    assert TopInfo.load(tmp_path / "rtl") == info
    assert len(told) > 5
    assert {(part, clk) for _, part, clk in told} == {(find(name).part, 12.5)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("lut: many", "lut: Input should be a valid integer"),
        ("surprise: 1", "surprise: Extra inputs are not permitted"),
        ("- a", "while parsing"),
    ],
)
def test_a_damaged_file_is_named_and_stops_no_other_board(
    line: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (DEFAULT, "kv260"):
        shutil.copy(HERE / f"{name}.yaml", tmp_path)
    whole = (HERE / "pynq-z1.yaml").read_text()
    (tmp_path / "own.yaml").write_text(f"{whole}{line}\n")
    monkeypatch.setattr(andpop_boards, "HERE", tmp_path)
    assert find("KV260").name == "kv260"
    for name in ("own", "nothing"):
        with pytest.raises(BoardError) as error:
            find(name)
        code, text = explain(error.value) or (0, "")
        assert code == BAD_INPUT and text.startswith(f"{tmp_path / 'own.yaml'}: ")
        assert reason in text and "\n" not in text

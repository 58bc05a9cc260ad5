# SPDX-License-Identifier: Apache-2.0
"""Every board's file is whole, and what it says agrees with FINN where FINN knows the board."""

from __future__ import annotations

import pytest
from andpop.hw.boards import DEFAULT, UnknownBoard, boards, find

FINN_ROUNDS = 0.03
"""FINN's table of platforms gives thousands of LUTs and leaves some blocks of RAM out."""
ISSUED = {"pynq-z1", "pynq-z2", "ultra96-v2", "zcu104", "kv260", "aup-zu3", "ulx3s-85f"}


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
    with pytest.raises(UnknownBoard, match="found 'nonsense', expected one of aup-zu3, kv260"):
        find("nonsense")

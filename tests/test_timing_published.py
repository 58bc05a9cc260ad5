# SPDX-License-Identifier: Apache-2.0
"""Clocks of whole builds: which designs are routed, and what the page says of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from andpop.hw.synth import network_route, timing_published
from andpop.hw.synth.timing_published import BEGIN, END, OpClocks

DESIGNS = {"a0": "A", "a1": "A", "b0": "B", "c0": "C", "d0": "D", "a2": "A", "lone": "A"}
"""Design by node of a network."""
PAGE = Path(__file__).parent.parent / "docs/03_reference/timing.md"


class FakeNetwork:
    """An emitted folder whose nodes are those of DESIGNS; `lone` alone has its products in DSPs."""

    def __init__(self, rtl: Path, primitives: bool) -> None:
        assert not primitives
        self.info = SimpleNamespace(top="top")
        self.dsp = {"lone"}

    def write(self, folder: Path) -> None:
        """Leave what `split.py` would."""
        designs = {f"u_{name}": {"design": design} for name, design in DESIGNS.items()}
        (folder / "designs.json").write_text(json.dumps(designs))

    def reading(self) -> list[str]:
        """No script."""
        return []


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The designs that were routed, in place of routing them."""
    calls: list[tuple[str, bool]] = []

    def route(folder: Path, digest: str, dsp: bool, name: str) -> dict[str, Any]:
        calls.append((digest, dsp))
        return {"mhz": float(ord(digest))}

    monkeypatch.setattr(network_route, "Network", FakeNetwork)
    monkeypatch.setattr(network_route.nextpnr, "prepare", lambda: "")
    monkeypatch.setattr(network_route.yosys, "run", lambda *_: None)
    monkeypatch.setattr(network_route, "_route", route)
    return calls


def test_of_each_op_the_first_designs_that_differ_are_routed_once(
    routed: list[tuple[str, bool]],
) -> None:
    ops = {"X": ["a0", "a1", "b0", "c0", "d0", "a2"], "Y": ["lone"], "Z": ["b0"]}
    found = network_route.route_slowest(Path(), ops, lambda *_: None)
    assert sorted(routed) == [("A", False), ("A", True), ("B", False), ("C", False)]
    assert {name: result["mhz"] for name, result in found.items()} == {
        "a0": 65, "a1": 65, "a2": 65, "b0": 66, "c0": 67, "lone": 65,
    }  # fmt: skip


def clock(mhz: float) -> dict[str, Any]:
    """A clock whose slowest path is named after it."""
    return {"mhz": mhz, "from": f"u_core.from{mhz:.0f}", "to": "u_core.to"}


def test_the_slowest_of_an_op_is_its_slowest_estimate_and_its_slowest_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        SimpleNamespace(name="first", op="Mvu", timing=clock(160)),
        SimpleNamespace(name="second", op="Mvu", timing=clock(155)),
        SimpleNamespace(name="wire", op="Link", timing=None),
    ]
    results = {"first": clock(120), "second": clock(170)}
    monkeypatch.setattr(timing_published, "synthesise_network", lambda *_, **__: rows)

    def route(rtl: Path, ops: dict[str, Sequence[str]], progress: object) -> dict[str, Any]:
        assert ops == {"Mvu": ["second", "first"]}
        return results

    monkeypatch.setattr(timing_published, "route_slowest", route)
    (row,) = timing_published.clocks_by_op(Path(), lambda *_: None)
    assert (row.op, row.nodes, row.mhz) == ("Mvu", 2, (155, 120))
    results.update(first={"reason": "too large"}, second={"reason": "too large"})
    (row,) = timing_published.clocks_by_op(Path(), lambda *_: None)
    assert row.mhz == (155, None) and row.routed["reason"] == "too large"


def test_the_table_marks_what_is_too_slow_and_says_why_a_clock_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        OpClocks("Slow", 2, clock(149.4), clock(151)),
        OpClocks("Large", 1, clock(200), {"reason": "does not fit"}),
    ]
    monkeypatch.setattr(timing_published, "clocks_by_op", lambda rtl, _: rows)
    page = tmp_path / "page.md"
    page.write_text(f"a\n{BEGIN}\nthe last one\n{END}\nb\n")
    timing_published.main(page, ["A network=build/one", "build/two"])
    text = page.read_text()
    assert text.startswith("a\n") and text.endswith(f"\n{END}\nb\n") and "the last one" not in text
    assert text.count("| Slow | 2 | **149** | 151 | `from149` to `to` | `from151` to `to` |") == 2
    assert "| Large | 1 | 200 | - | `from200` to `to` | does not fit |" in text
    assert "**A network**" in text and "**two**" in text
    assert "Below 150 MHz: 1 of 2 ops by the estimate, 0 of 1 routed" in text


def test_the_page_has_a_place_for_the_table() -> None:
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1 and page.index(BEGIN) < page.index(END)

# SPDX-License-Identifier: Apache-2.0
"""The lists of faults fit the sources, and the runner tells its outcomes apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants import run
from mutants.run import Mutant, MutantError

MUTANTS = run.load(run.lists())
FAULT = Mutant("python", "x", "a.py", "a + b", "a - b", "wrong sign", ("tests/test_a.py",), "")


def test_there_are_enough_faults_of_every_kind() -> None:
    assert run.lists() == ["cpp", "python", "rtl"]
    assert len(MUTANTS) >= 120


def test_the_page_counts_the_entries() -> None:
    page = (run.ROOT / "docs/03_reference/verification.md").read_text(encoding="utf-8")
    for name in (*run.lists(), "all"):
        chosen = [m for m in MUTANTS if name in (m.list, "all")]
        equivalent = sum(bool(m.equivalent) for m in chosen)
        assert f"\n| {name} | {len(chosen)} | {equivalent} |\n" in page


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.id)
def test_fault_fits_the_source_and_names_tests_that_exist(mutant: Mutant) -> None:
    path = run.ROOT / mutant.file
    text = path.read_text(encoding="utf-8")
    assert mutant.plant(text) != text
    for arguments in mutant.tests:
        file = arguments.split()[0].split("::")[0]
        assert file.startswith("tests/") and (run.ROOT / file).is_file(), arguments


@pytest.mark.parametrize("text", ["c = a - b", "c = a + b; d = a + b"])
def test_a_fault_that_fits_nowhere_or_twice_is_refused(text: str) -> None:
    with pytest.raises(MutantError, match="python.yaml, x: found its search text . times in a.py"):
        FAULT.plant(text)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{id: x}", "expected the keys"),
        ("{id: x, file: f, search: a, replace: a, why: w, tests: [t]}", "another one to replace"),
        ("{id: x, file: f, search: a, replace: b, why: w, tests: []}", "expected a list"),
        ("{id: x, file: f, search: 1, replace: b, why: w, tests: [t]}", "expected texts"),
        ("text", "expected the keys"),
    ],
)
def test_incomplete_entries_are_refused(
    entry: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HERE", tmp_path)
    (tmp_path / "some.yaml").write_text(f"- {entry}\n")
    with pytest.raises(MutantError, match=message):
        run.load(["some"])


def test_the_same_id_twice_and_unknown_lists_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HERE", tmp_path)
    entry = "- {id: x, file: f, search: a, replace: b, why: w, tests: [t]}\n"
    (tmp_path / "one.yaml").write_text(entry)
    (tmp_path / "two.yaml").write_text(entry)
    with pytest.raises(MutantError, match="found the id x twice"):
        run.load(["one", "two"])
    with pytest.raises(MutantError, match="found no such list, expected one of one, two"):
        run.load(["three"])


def test_a_fault_called_equivalent_must_not_be_noticed() -> None:
    equal = Mutant(*(*FAULT.__dict__.values(),)[:-1], "a and b are 0")
    assert run.judged(equal, ("survived", "")) == ("equivalent", "a and b are 0")
    state, detail = run.judged(equal, ("killed", "test_a.py::test_sum"))
    assert state == "broken" and "test_sum" in detail
    assert run.judged(FAULT, ("survived", "why")) == ("survived", "why")
    outcomes = {"x": ("survived", "wrong sign")}
    assert "| x | a.py | **survived**: wrong sign |" in run.table([FAULT], outcomes)

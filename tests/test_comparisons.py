# SPDX-License-Identifier: Apache-2.0
"""Benches say what they compared: counts are sums of what ran, and an empty bench fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from comparisons import Comparisons

HERE = Path(__file__).parent

BENCHES = """
import contextlib
import numpy as np

def test_right(compared):
    compared.arrays(np.arange(5), np.arange(5))
    compared.words(7, 7, 3)

def test_wrong(compared):
    compared.arrays(np.arange(6), np.array([0, 1, 9, 3, 4, 9]))

def test_wrong_and_swallowed(compared):
    with contextlib.suppress(AssertionError):
        compared.words(7, 8, 4)

def test_empty(compared):
    pass

def test_no_bench():
    pass
"""


def test_the_last_line_says_what_ran_and_empty_benches_fail(tmp_path: Path) -> None:
    for name in ("conftest.py", "comparisons.py", "program.py"):
        (tmp_path / name).write_text((HERE / name).read_text(encoding="utf-8"))
    (tmp_path / "test_benches.py").write_text(BENCHES)
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "."]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "benches: 4 runs, 3 failed, 18 values compared, 6 differing" in done.stdout
    assert "3 failed, 2 passed" in done.stdout
    assert "test_empty - AssertionError: the bench compared nothing" in done.stdout
    assert "test_wrong_and_swallowed - AssertionError: 4 values differ" in done.stdout


def test_counts_what_differs_and_where() -> None:
    properties: list[tuple[str, object]] = [("latency", 3)]
    compared = Comparisons(properties)
    compared.arrays(np.eye(3), np.eye(3))
    with pytest.raises(
        AssertionError, match=r"mask: 2 of 4 .* first at \(0, 1\): expected 2, got 9"
    ):
        compared.arrays([[1, 2], [3, 4]], [[1, 9], [9, 4]], "mask")
    assert properties == [("latency", 3), ("values", 13), ("differing", 2)]
    with pytest.raises(AssertionError, match=r"mask: \(2,\), expected \(3,\)"):
        compared.arrays([1, 2, 3], [1, 2], "mask")

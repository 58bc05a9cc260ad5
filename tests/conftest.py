# SPDX-License-Identifier: Apache-2.0
"""What every test shares: FINN's build folder, real pictures, one cache of Verilator builds."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

# The workers fill the cores already; more BLAS threads would only wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# FINN reads this while it is imported, before any fixture could run.
if "FINN_BUILD_DIR" not in os.environ:
    _finn = tempfile.TemporaryDirectory(prefix="andpop-finn-")
    # The variable reaches the workers; the process that made the folder removes it at its end.
    atexit.register(_finn.cleanup)
    os.environ["FINN_BUILD_DIR"] = _finn.name
Path(os.environ["FINN_BUILD_DIR"]).mkdir(parents=True, exist_ok=True)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores already: threads of OpenMP that wait for each other cost far more.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def andpop_data() -> Path:
    """The folder of real pictures named by ANDPOP_DATA; tests that ask for it skip without."""
    value = os.environ.get("ANDPOP_DATA")
    if not value:
        pytest.skip("ANDPOP_DATA is not set: no real pictures")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"ANDPOP_DATA: found {value}, expected a folder of pictures")
    return folder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Verilator cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ANDPOP_CACHE", str(folder))
    return folder


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many values the benches compared: a hollow bench would show here."""
    reports = terminalreporter.stats.get("passed", [])
    rows = [dict(r.user_properties) for r in reports if r.when == "call"]
    values = [row["values"] for row in rows if "values" in row]
    if values:
        terminalreporter.write_line(
            f"benches: {len(values)} runs, {sum(values)} values compared, 0 differing"
        )

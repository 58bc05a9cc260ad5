# SPDX-License-Identifier: Apache-2.0
"""What every test shares: FINN's build folder, real pictures, one cache of Verilator builds."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comparisons import Comparisons
from program import Run

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
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program in this process: (exit code, standard output, standard error)."""
    from andpop.flows import cli

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["andpop", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Verilator cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ANDPOP_CACHE", str(folder))
    return folder


@pytest.fixture
def compared(request: pytest.FixtureRequest) -> Comparisons:
    """Counts what the test compares; a test that asks for it and compares nothing fails."""
    return Comparisons(request.node.user_properties)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Fail a bench that ran to its end and compared nothing, or went on after a difference."""
    result = yield
    bench = pyfuncitem.funcargs.get("compared")
    if isinstance(bench, Comparisons):
        assert bench.values, "the bench compared nothing"
        assert not bench.differing, f"{bench.differing} values differ"
    return result


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what the benches compared, as they counted it themselves."""
    stats = terminalreporter.stats
    benches = {
        outcome: [
            row
            for report in stats.get(outcome, [])
            for row in [dict(report.user_properties)]
            if report.when == "call" and "differing" in row
        ]
        for outcome in ("passed", "failed")
    }
    rows = [*benches["passed"], *benches["failed"]]
    if rows:
        terminalreporter.write_line(
            f"benches: {len(rows)} runs, {len(benches['failed'])} failed, "
            f"{sum(row['values'] for row in rows)} values compared, "
            f"{sum(row['differing'] for row in rows)} differing"
        )

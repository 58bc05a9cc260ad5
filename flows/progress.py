# SPDX-License-Identifier: Apache-2.0
"""How a command tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@contextmanager
def frames(progress: Progress, stage: str, total: int) -> Iterator[Any]:
    """Report simulated frames; yields what the simulator calls with its state."""

    def update(report: Mapping[str, int]) -> None:
        progress(stage, min(report["frames_out"], total), total)

    progress(stage, 0, total)
    yield update
    progress(stage, total, total)

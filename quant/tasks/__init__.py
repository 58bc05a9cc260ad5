# SPDX-License-Identifier: Apache-2.0
"""Tasks, one file each; adding one is a file and a line of ``TASKS``."""

from __future__ import annotations

from collections.abc import Collection

from .classification import Classification
from .masks import Masks
from .task import Task

TASKS: tuple[Task, ...] = (Classification(), Masks())
"""Every task."""


def named(name: str) -> Task:
    """Return the task of a name.

    Raises:
        ValueError: there is none.
    """
    for task in TASKS:
        if task.name == name:
            return task
    raise ValueError(f"found task {name!r}, expected one of {', '.join(t.name for t in TASKS)}")


def of_heads(kinds: Collection[str]) -> Task:
    """Return the task of a network that tells its heads alone, as somebody else's does.

    Raises:
        ValueError: no task has such heads.
    """
    for task in TASKS:
        if sorted(task.heads) == sorted(kinds):
            return task
    known = "; ".join(", ".join(task.heads) for task in TASKS)
    raise ValueError(f"found heads of the kinds {', '.join(kinds)}, expected one of: {known}")

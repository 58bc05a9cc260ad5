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


def of_heads(kinds: Collection[str]) -> Task | None:
    """Return the task of a network that tells its heads alone, as somebody else's does.

    None where no task has such heads: the network can be built and compared, and no more.
    """
    return next((task for task in TASKS if sorted(task.heads) == sorted(kinds)), None)

# SPDX-License-Identifier: Apache-2.0
"""What is known of a network by its name: its task, and what it does to pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models import registry
from ..quant import tasks
from ..quant.tasks.task import Task
from .errors import UsageError


def known_task(network: str) -> Task | None:
    """Return the task of a network of ``models``, None if there is no such network."""
    name = registry.task(network)
    return None if name is None else tasks.named(name)


def task_of_network(network: str) -> Task:
    """Return the task of a network of ``models``.

    Raises:
        UsageError: there is no such network.
    """
    task = known_task(network)
    if task is None:
        raise UsageError(
            f"found network {network!r}, expected one of: {', '.join(registry.names())}"
        )
    return task


def reflection(network: str, config: Mapping[str, Any], height: int, width: int) -> list[str]:
    """Say what a network does to pictures whose sides it cannot halve often enough.

    It imports the network's file, and with it PyTorch.

    Raises:
        UsageError: the pictures are too small to be reflected that far, or the configuration is
            invalid.
    """
    try:
        multiple = registry.parse(network, config).multiple
    except ValueError as error:
        raise UsageError(str(error)) from error
    rows, columns = (side + -side % multiple for side in (height, width))
    for side, full in ((height, rows), (width, columns)):
        # The longer border, (full - side + 1) // 2 pixels, copies as many from inside the edge.
        if (full - side + 1) // 2 >= side:
            raise UsageError(
                f"--input: found pictures of {height}x{width}, expected sides that can be "
                f"reflected up to a multiple of {multiple} as {network} needs; enlarge them"
            )
    return reflected(height, width, rows, columns)


def reflected(height: int, width: int, rows: int, columns: int) -> list[str]:
    """Say that pictures are reflected, if they are.

    Args:
        height: rows of a picture.
        width: columns of a picture.
        rows: what they are reflected to.
        columns: what those are reflected to.
    """
    if (rows, columns) == (height, width):
        return []
    return [
        f"pictures of {height}x{width} are reflected to {rows}x{columns} "
        "and their masks cropped back"
    ]

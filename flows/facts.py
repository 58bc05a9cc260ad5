# SPDX-License-Identifier: Apache-2.0
"""What is known of a network by its name: its task, and what it does to pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.config import UBiNetConfig, parse, predicts_masks
from ..quant import tasks
from ..quant.tasks.task import Task
from .errors import UsageError


def task_of_network(network: str) -> Task:
    """Return the task of a network of ``models``."""
    return tasks.named("masks" if predicts_masks(network) else "classification")


def reflection(network: str, config: Mapping[str, Any], height: int, width: int) -> list[str]:
    """Say what a network does to pictures whose sides it cannot halve often enough.

    Raises:
        UsageError: the pictures are too small to be reflected that far, or the configuration is
            invalid.
    """
    try:
        parsed = parse(network, config)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not isinstance(parsed, UBiNetConfig):
        return []
    multiple = 1 << parsed.depth
    rows, columns = (side + -side % multiple for side in (height, width))
    for side, full in ((height, rows), (width, columns)):
        # The longer border, (full - side + 1) // 2 pixels, copies as many from inside the edge.
        if (full - side + 1) // 2 >= side:
            raise UsageError(
                f"--input: found pictures of {height}x{width}, expected sides that can be "
                f"reflected up to a multiple of {multiple} as {network} needs; enlarge them"
            )
    if (rows, columns) == (height, width):
        return []
    return [
        f"pictures of {height}x{width} are reflected to {rows}x{columns} "
        "and their masks cropped back"
    ]

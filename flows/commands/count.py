# SPDX-License-Identifier: Apache-2.0
"""``andpop count``: what a network costs."""

from __future__ import annotations

from typing import Any

from ...models.count import count as counted
from ..errors import UsageError


def count(
    model: str, size: tuple[int, int, int], config: dict[str, Any], real_down: bool
) -> dict[str, Any]:
    """See ``flows.api.count``.

    Raises:
        UsageError: unknown network or impossible figures.
    """
    height, width, channels = size
    try:
        found = counted(model, height, width, {**config, "channels": channels}, real_down=real_down)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return found.as_dict()

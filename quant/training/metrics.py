# SPDX-License-Identifier: Apache-2.0
"""The metrics file of a run: what was found, the recipe, and every epoch in a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .recipe import Options, Progress


def metrics_text(
    found: Mapping[str, Any],
    history: Sequence[Progress],
    figure: str,
    options: Options,
    torch: str,
) -> str:
    """Return the content of ``<stem>.metrics.json``.

    Args:
        found: what the lessons say of the result.
        history: every epoch.
        figure: the figure of an epoch that is kept, the one that the curve shows.
        options: recipe.
        torch: PyTorch's version.
    """
    content = {
        **found,
        "options": asdict(options),
        "seconds": sum(p.seconds for p in history),
        "torch": torch,
    }
    epochs = [
        {"phase": p.phase, "epoch": p.epoch, "loss": p.loss, figure: p.figures[figure]}
        for p in history
    ]
    return as_text(content, epochs)


def as_text(content: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    """Return JSON of ``content`` with ``history`` as its last key, an epoch to a line."""
    head = json.dumps(content, indent=1).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(epoch)}" for epoch in history)
    return f'{head},\n "history": [\n{lines}\n ]\n}}\n'

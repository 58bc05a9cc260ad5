# SPDX-License-Identifier: Apache-2.0
"""The curve of a run."""

from __future__ import annotations

import io
import math
from pathlib import Path

from matplotlib.figure import Figure

from ..files import replace_file
from .lessons import Outcome


def plot(result: Outcome, figure: str, path: Path) -> None:
    """Draw loss and one figure on the validation pictures over the epochs, as a PNG."""
    chart = Figure(figsize=(7, 4), layout="constrained")
    left = chart.subplots()
    epochs = [p.epoch for p in result.history]
    left.plot(epochs, [p.loss for p in result.history], color="tab:orange", label="training loss")
    left.set_xlabel("epoch")
    left.set_ylabel("training loss")
    right = left.twinx()
    right.plot(
        epochs,
        [_percent(p.figures[figure]) for p in result.history],
        color="tab:blue",
        label=f"validation {figure} of an epoch",
    )
    end = _percent(result.figures[figure])
    right.axhline(end, color="tab:blue", linestyle=":", label="in the end")
    right.set_ylabel(f"validation {figure}, %")
    chart.legend(loc="outside upper center", ncols=3, fontsize="small")
    buffer = io.BytesIO()
    chart.savefig(buffer, format="png", dpi=100)
    replace_file(path, buffer.getvalue())


def _percent(share: float | None) -> float:
    return math.nan if share is None else 100 * share

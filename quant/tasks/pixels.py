# SPDX-License-Identifier: Apache-2.0
"""Figures of masks, from counts of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..data.layout import Mask

FIGURES = ("accuracy", "precision", "recall", "fpr", "fnr", "mae", "dice")
"""Names of the paper's figures (section 4.3.2)."""


@dataclass(frozen=True)
class Counts:
    """Pixels by truth and prediction: true and false positives, false and true negatives."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    def figures(self) -> dict[str, float | None]:
        """Return ``FIGURES``; None where nothing is there to divide by.

        Without true defects there is no Dice either: it would be 0 whatever was predicted.

        With masks of 0 and 1 the mean absolute error is the share of wrong pixels,
        1 - accuracy, as in the paper's table 4.
        """
        n = self.tp + self.fp + self.fn + self.tn
        shares = (
            (self.tp + self.tn, n),
            (self.tp, self.tp + self.fp),
            (self.tp, self.tp + self.fn),
            (self.fp, self.fp + self.tn),
            (self.fn, self.tp + self.fn),
            (self.fp + self.fn, n),
            (2 * self.tp, 2 * self.tp + self.fp + self.fn if self.tp + self.fn else 0),
        )
        values = (part / whole if whole else None for part, whole in shares)
        return dict(zip(FIGURES, values, strict=True))


def count_pixels(found: Mask, truth: Mask) -> Counts:
    """Compare masks of one shape pixel by pixel."""
    tp, fp, fn = (
        int(np.count_nonzero(part)) for part in (found & truth, found & ~truth, ~found & truth)
    )
    return Counts(tp, fp, fn, truth.size - tp - fp - fn)


def score(
    found: Mask, truth: Mask, labels: Sequence[int], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of predicted masks, over all pixels and per class of the pictures.

    Args:
        found: (N, H, W) predictions.
        truth: (N, H, W).
        labels: class of every picture.
        classes: names of the classes.

    Returns:
        ``{"n", <figures>, "pixels": {tp, fp, fn, tn}, "per_class": {name: the same}}`` where n is
        pictures; classes without pictures are left out.
    """
    per_picture = [count_pixels(f, t) for f, t in zip(found, truth, strict=True)]

    def row(chosen: list[Counts]) -> dict[str, Any]:
        counts = sum(chosen, Counts())
        return {"n": len(chosen), **counts.figures(), "pixels": asdict(counts)}

    per_class = {
        name: [c for c, label in zip(per_picture, labels, strict=True) if label == i]
        for i, name in enumerate(classes)
    }
    rows = {name: row(chosen) for name, chosen in per_class.items() if chosen}
    return {**row(per_picture), "per_class": rows}

# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures of a folder, in whatever layout it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..data import find
from ..data.layout import Dataset, DatasetError
from ..pictures import natural_key


def find_samples(root: str | Path, classes: Sequence[str] | None = None) -> Dataset:
    """Detect the layout of a labelled folder and list its samples in natural order.

    Args:
        root: a folder in one of ``data.LAYOUTS``.
        classes: class names in the order of the labels wanted; by default those found, sorted.

    Raises:
        DatasetError: no such folder, no known layout, an empty class, or classes other than those
            asked for.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; check the path of the data set")
    layout, found = find(root)
    names = sorted({name for name, _ in found})
    if classes is not None:
        missing = [name for name in classes if name not in names]
        unknown = [name for name in names if name not in classes]
        if missing or unknown:
            raise DatasetError(
                f"{root}: found classes {', '.join(names)}, expected {', '.join(classes)}"
                + (f"; add pictures of {', '.join(missing)}" if missing else "")
                + (f"; rename or remove {', '.join(unknown)}" if unknown else "")
            )
        names = list(classes)
    samples = [replace(sample, label=names.index(name)) for name, sample in found]
    samples.sort(key=lambda sample: natural_key(sample.path))
    return Dataset(root, layout.name, tuple(names), tuple(samples))

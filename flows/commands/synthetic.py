# SPDX-License-Identifier: Apache-2.0
"""``andpop synthetic``: drawn steel surfaces as a labelled folder, whole or not at all."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from ...quant import synthetic
from ..config import MOST_SIDE
from ..errors import UsageError
from ..folder import behind_links, beside, writing
from ..progress import Progress

MOST_PICTURES = 100_000
"""Most pictures per class."""


def write(
    folder: Path, count: int, size: int, seed: int, masks: bool, progress: Progress
) -> dict[str, Any]:
    """See ``flows.api.synthetic``."""
    for option, value, least, most in (
        ("--count", count, 1, MOST_PICTURES),
        ("--size", size, 16, MOST_SIDE),
        ("--seed", seed, 0, (1 << 32) - 1),
    ):
        if not least <= value <= most:
            raise UsageError(f"{option}: found {value}, expected {least} to {most}")
    target = behind_links(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with writing(target):
        _check_empty(folder, target)
        partial = beside(target, "partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            written = _draw(partial, count, size, seed, masks, progress)
            # Takes the place of an empty folder too.
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    classes = Counter(path.relative_to(partial).parts[0] for path in written)
    return {
        "folder": str(folder),
        "pictures": len(written),
        "classes": dict(classes),
        "size": size,
        "seed": seed,
        "masks": masks,
    }


def _check_empty(folder: Path, target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(
            f"--out: found {folder} with something in it, expected an empty folder or none; "
            "choose another one"
        )
    if target.exists() and not target.is_dir():
        raise UsageError(f"--out: found the file {folder}, expected an empty folder or none")


def _draw(
    folder: Path, count: int, size: int, seed: int, masks: bool, progress: Progress
) -> list[Path]:
    drawn = synthetic.draw_masked if masks else synthetic.draw
    total = count * len(synthetic.MASKED_CLASSES if masks else synthetic.CLASSES)
    written = []
    for path in drawn(folder, count, size, seed):
        written.append(path)
        progress("synthetic", len(written), total)
    return written

# SPDX-License-Identifier: Apache-2.0
"""Choose FIFO depths from measured peaks, and keep them in fifo.json.

A depth is the smallest a memory primitive gives: two registers, a 32-deep LUT memory, 64 and up
in LUT memories by powers of two, multiples of 512 in block RAM.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SMALL_DEPTHS = (2, 32, 64, 128, 256, 512)
BLOCK = 512


class SizingError(RuntimeError):
    """FIFO depths could not be found, or a fifo.json does not fit."""


@dataclass(frozen=True)
class FifoDepth:
    """One FIFO: its name, words, most words ever held, and its size."""

    name: str
    depth: int
    peak: int
    width: int
    """Bits per word."""
    bits: int
    """depth * width."""


def round_depth(peak: int) -> int:
    """Return the smallest depth of a memory primitive that holds ``peak`` words."""
    for depth in SMALL_DEPTHS:
        if peak <= depth:
            return depth
    return -(-peak // BLOCK) * BLOCK


def choose_depths(
    names: Sequence[str], widths: Sequence[int], peaks: Sequence[int]
) -> list[FifoDepth]:
    """Round the peaks of all FIFOs up to depths."""
    return [
        FifoDepth(name, depth, peak, width, depth * width)
        for name, width, peak in zip(names, widths, peaks, strict=True)
        for depth in [round_depth(peak)]
    ]


def save_depths(fifos: Iterable[FifoDepth], path: Path) -> None:
    """Write fifo.json: one object per FIFO, by name."""
    table = {f.name: {k: v for k, v in asdict(f).items() if k != "name"} for f in fifos}
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def load_depths(path: Path) -> list[FifoDepth]:
    """Read fifo.json.

    Raises:
        SizingError: the file is missing or is not a fifo.json.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return [FifoDepth(name, **values) for name, values in table.items()]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SizingError(f"{path}: not a fifo.json ({error}); size the FIFOs again") from error

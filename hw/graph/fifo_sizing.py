# SPDX-License-Identifier: Apache-2.0
"""Choose FIFO depths from measured peaks, and keep them in fifo.json.

A depth is what the memory primitives give anyway: two registers, LUT memories of 32 and of
multiples of 64 words in LUT RAM (see ``kernels.memory``), block RAM beyond.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..kernels.memory import bram18_words, fifo_in_block_ram


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


def round_depth(peak: int, width: int) -> int:
    """Return the least depth of a memory primitive that holds ``peak`` words of ``width`` bits."""
    for depth in (2, 32, 64):
        if peak <= depth:
            return depth
    depth = -(-peak // 64) * 64
    if not fifo_in_block_ram(depth, width):
        return depth
    block = bram18_words(width)
    return -(-peak // block) * block


def choose_depths(
    names: Sequence[str], widths: Sequence[int], peaks: Sequence[int]
) -> list[FifoDepth]:
    """Round the peaks of all FIFOs up to depths."""
    return [
        FifoDepth(name, depth, peak, width, depth * width)
        for name, width, peak in zip(names, widths, peaks, strict=True)
        for depth in [round_depth(peak, width)]
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
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SizingError(f"{path}: not a fifo.json ({error}); size the FIFOs again") from error

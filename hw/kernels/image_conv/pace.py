# SPDX-License-Identifier: Apache-2.0
"""How long ImageConv takes: its two processes, columns and windows, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

RING = 32
"""Columns between the two (``RingWords`` of column_product.sv)."""
TO_RING = 3
"""Cycles from the step that takes a pixel to the first one that reads its column."""
MOST_FRAMES = 16
"""Frames after which the pace of a steady stream is taken as found."""


class Shape(NamedTuple):
    """Geometry of a convolution; the borders at the bottom and right follow from it."""

    height: int
    width: int
    kernel: int
    stride: int
    top: int
    left: int
    out_height: int
    out_width: int

    def rows(self) -> Iterator[bool]:
        """Whether windows end in a row, for each row of the picture or below it."""
        needed = (self.out_height - 1) * self.stride + self.kernel - self.top
        for row in range(max(self.height, needed)):
            behind = row + self.top - (self.kernel - 1)
            yield behind >= 0 and behind % self.stride == 0 and row < needed


@lru_cache(maxsize=1024)
def interval(shape: Shape, steps: int) -> int:
    """Return the cycles per frame of a steady stream at full speed.

    Args:
        shape: the convolution.
        steps: cycles per window.
    """
    columns = (shape.out_width - 1) * shape.stride + shape.kernel
    swallowed = max(0, shape.width + shape.left - columns)
    kernel, stride = shape.kernel, shape.stride
    clock = 0  # the cycle of the writer's next step
    end = -1  # the cycle of the last step of the last window
    freed = [0]  # columns that the windows up to this one have left behind
    ends = [-1]
    oldest = 0  # window whose end made the room that the next column takes
    written = start = 0  # columns before this row's next, and before its first
    frame_ends: list[int] = []
    while True:
        for emits in shape.rows():
            if not emits:
                clock += shape.width
                continue
            start = written
            base = start
            for _ in range(columns):
                while freed[oldest] + RING <= written:
                    oldest += 1
                clock = max(clock, ends[oldest] + 1)
                written += 1
                if written >= base + kernel:
                    end = max(end + 1, clock + TO_RING) + steps - 1
                    last = written == start + columns
                    base += kernel if last else stride
                    freed.append(base)
                    ends.append(end)
                clock += 1
            clock += swallowed
        frame_ends.append(end)
        spans = [b - a for a, b in zip(frame_ends, frame_ends[1:], strict=False)]
        if len(spans) >= MOST_FRAMES or (len(spans) >= 2 and spans[-1] == spans[-2]):
            return spans[-1]

# SPDX-License-Identifier: Apache-2.0
"""How long ImageConv takes: its two processes, columns and windows, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

RING = 32
"""Words of columns between the two (``RingWords`` of column_product.sv)."""
TO_RING = 3
"""Cycles from the step that takes a pixel to the first one that reads its column."""
TO_ROOM = 2
"""Cycles from a window's last step to the one that may promise the room it leaves."""
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
def interval(shape: Shape, steps: int, columns: int = 1) -> int:
    """Return the cycles per frame of a steady stream at full speed.

    Args:
        shape: the convolution.
        steps: cycles per window.
        columns: columns per word of the ring.
    """
    row_columns = (shape.out_width - 1) * shape.stride + shape.kernel
    swallowed = max(0, shape.width + shape.left - row_columns)
    window, advance = -(-shape.kernel // columns), shape.stride // columns
    clock = 0  # the cycle of the writer's next step
    end = -1  # the cycle of the last step of the last window
    freed = [0]  # words that the windows up to this one have left behind
    ends = [-TO_ROOM]
    oldest = 0  # window whose end made the room that the next word takes
    promised = 0  # words, this row's next one not counted
    frame_ends: list[int] = []
    while True:
        for emits in shape.rows():
            if not emits:
                clock += shape.width
                continue
            left = shape.kernel  # columns until the next window is there
            for column in range(row_columns):
                if column % columns == 0:
                    while freed[oldest] + RING <= promised:
                        oldest += 1
                    clock = max(clock, ends[oldest] + TO_ROOM)
                    promised += 1
                left -= 1
                if left == 0:
                    end = max(end + 1, clock + TO_RING) + steps - 1
                    left = shape.stride
                    last = column == row_columns - 1
                    freed.append(freed[-1] + (window if last else advance))
                    ends.append(end)
                clock += 1
            clock += swallowed
        frame_ends.append(end)
        spans = [b - a for a, b in zip(frame_ends, frame_ends[1:], strict=False)]
        if len(spans) >= MOST_FRAMES or (len(spans) >= 2 and spans[-1] == spans[-2]):
            return spans[-1]

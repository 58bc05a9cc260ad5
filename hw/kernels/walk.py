# SPDX-License-Identifier: Apache-2.0
"""How a block walks over its picture: places, the size of its line memory, its pace."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...quant.grid import IntArray

FRAMES = 4
"""Frames after which the pace has settled, the last one measured."""
LEAST_BITS = 5
"""Address bits of the smallest memory: LUT RAM has 32 words or more."""
RING_TRIES = 3
"""Sizes of the line memory that are looked at, each twice the one before."""
HAND_OVER = 4
"""Cycles from the last step of a pixel to a word that its place makes room for, and the other way
from a pixel's last word to the first step that reads it, with one to spare."""


class Walk(NamedTuple):
    """A block's geometry and the cycles of its two ends."""

    height: int
    width: int
    out_height: int
    out_width: int
    kernel_y: int
    kernel_x: int
    stride_y: int
    stride_x: int
    pad_top: int
    pad_left: int
    groups: int
    """Words of a pixel in the line memory."""
    take: int
    """Cycles in which a pixel is taken."""
    compute: int
    """Cycles in which an output pixel is computed."""

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.height * self.width

    @property
    def out_pixels(self) -> int:
        """Output pixels of a frame."""
        return self.out_height * self.out_width

    @property
    def span(self) -> int:
        """Pixels from the first to the last of a window, borders counted."""
        return (self.kernel_y - 1) * self.width + self.kernel_x

    @property
    def need(self) -> int:
        """Pixels from the place of an output to the last of its window."""
        return self.span - self.pad_top * self.width - self.pad_left

    @property
    def interval(self) -> int:
        """Cycles of a frame where neither end waits for the other."""
        return max(self.pixels * self.take, self.out_pixels * self.compute)

    def places(self) -> IntArray:
        """Places of all outputs in a sequence of frames, as numbers of pixels."""
        rows = np.arange(self.out_height) * self.stride_y * self.width
        columns = np.arange(self.out_width) * self.stride_x
        frame = (rows[:, None] + columns[None, :]).reshape(-1)
        return (frame[None, :] + np.arange(FRAMES)[:, None] * self.pixels).reshape(-1)

    def needed(self) -> IntArray:
        """Number of pixels that each output waits for: its window, or its whole frame."""
        ends = (np.arange(FRAMES) + 1) * self.pixels
        frames = self.places().reshape(FRAMES, -1)
        return np.minimum(frames + self.need, ends[:, None]).reshape(-1)

    def slack(self, address_bits: int) -> int:
        """Pixels beyond those needed that a ring of 2**address_bits words holds."""
        return int(2**address_bits // self.groups - self.span - 1)

    def pace(self, slack: int) -> int:
        """Cycles of a settled frame with room for ``slack`` pixels beyond those needed."""
        places, needed = self.places(), self.needed()
        # The first output during which a pixel may be taken.
        reached = np.maximum.accumulate(places)
        numbers = np.arange(FRAMES * self.pixels)
        first = np.searchsorted(reached, numbers - self.need - slack + 1)
        if self._never_waits(first, needed):
            return self.interval
        return self._simulate(first, needed)

    def _never_waits(self, first: IntArray, needed: IntArray) -> bool:
        """Whether the slower end goes on without a break, whenever it comes in the last frame."""
        pixels, outputs = np.arange(len(first)), np.arange(len(needed))
        if self.pixels * self.take > self.out_pixels * self.compute:
            # Pixels in an unbroken row: is each output's place free in time?
            begin = self.compute * outputs + np.maximum.accumulate(
                needed * self.take + HAND_OVER - self.compute * outputs
            )
            free = np.append(begin, 0)[np.minimum(first, len(begin) - 1)] + HAND_OVER
            late = (free > pixels * self.take) & (first > 0)
            return not late[: -self.pixels].any()
        taken = self.take * (pixels + 1) + np.maximum.accumulate(
            np.where(first > 0, first * self.compute + HAND_OVER, -(10**9)) - self.take * pixels
        )
        late = taken[needed - 1] + HAND_OVER > outputs * self.compute
        return not late[self.out_pixels :].any()

    def _simulate(self, first: IntArray, needed: IntArray) -> int:
        """Both ends, pixel by pixel: the first steps and the last words of pixels in cycles."""
        begin = [0] * (len(needed) + 1)
        taken = [0] * len(first)
        pixel = 0
        for output, need in enumerate(needed.tolist()):
            while pixel < need:
                # A word more is taken before the room is seen to be gone.
                opened = begin[first[pixel]] - 1
                taken[pixel] = max(taken[pixel - 1] if pixel else 0, opened) + self.take
                pixel += 1
            begin[output] = max(begin[output], taken[need - 1] + 1)
            begin[output + 1] = begin[output] + self.compute
        return begin[-2] - begin[-2 - self.out_pixels]


class Ring(NamedTuple):
    """A line memory: what it holds, and the cycles of a frame with it."""

    address_bits: int
    slack: int
    cycles: int


@lru_cache(maxsize=4096)
def ring_of(walk: Walk, sparing: bool) -> Ring:
    """The smallest line memory with which a frame takes as long as its slower end alone.

    If none of a few sizes does, the one with the best pace.

    Args:
        walk: the block.
        sparing: use no more of its room than that takes, because what is taken ahead lies in the
            ring of the shortcut, too.
    """
    smallest = max(LEAST_BITS, (walk.groups * (walk.span + 1) - 1).bit_length())
    rings = []
    for bits in range(smallest, smallest + RING_TRIES):
        whole = walk.slack(bits)
        pace = walk.pace(whole)
        rings.append(Ring(bits, whole, pace))
        if pace == walk.interval:
            break
    best = min(rings, key=lambda ring: (ring.cycles, ring.address_bits))
    if not sparing:
        return best
    slack = 1
    while slack < best.slack and walk.pace(slack) > best.cycles:
        slack *= 2
    return Ring(best.address_bits, min(slack, best.slack), best.cycles)

# SPDX-License-Identifier: Apache-2.0
"""Random views of a picture, and of its mask alike; random by the generator that is given alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data.layout import MASK_FILTER, MASK_THRESHOLD, Mask
from ..pictures import Picture, resize

ZOOM = 1.125
"""Largest magnification of a training crop."""


@dataclass(frozen=True)
class View:
    """A crop, flipped and rotated: what happens to a picture and to its mask alike.

    Attributes:
        box: left, top, right and bottom of the crop in pixels.
        flips: bit 0 upside down, bit 1 mirrored, bit 2 transposed.
    """

    box: tuple[float, float, float, float]
    flips: int

    @classmethod
    def draw(cls, shape: tuple[int, ...], rng: np.random.Generator) -> View:
        """Return a random view of (H, W, ...) pixels, magnified by 1 to ``ZOOM``."""
        zoom = rng.uniform(1.0, ZOOM)
        rows, columns = (n / zoom for n in shape[:2])
        top = rng.uniform(0.0, shape[0] - rows)
        left = rng.uniform(0.0, shape[1] - columns)
        return cls((left, top, left + columns, top + rows), int(rng.integers(8)))

    def of(self, picture: Picture, height: int, width: int, filter: str) -> Picture:
        """Return the (height, width, C) view of a picture; a square one may be transposed."""
        view = resize(picture, height, width, filter, self.box)
        if self.flips & 1:
            view = view[::-1]
        if self.flips & 2:
            view = view[:, ::-1]
        if self.flips & 4 and height == width:
            view = view.transpose(1, 0, 2)
        return view


def augment(
    picture: Picture,
    height: int,
    width: int,
    rng: np.random.Generator,
    jitter: float = 0.2,
    filter: str = "bilinear",
) -> Picture:
    """Return a random view of a picture: crop, one of 8 flips and rotations, gain and offset.

    The crop magnifies by 1 to ``ZOOM``. Rotations by 90 degrees are left out (4 views remain) when
    the network's input is not square.

    Args:
        picture: (H, W, C) uint8.
        height: rows of the result.
        width: columns of the result.
        rng: the only source of randomness.
        jitter: gain lies in 1 +- jitter, offset in +- 128 * jitter grey levels.
        filter: resize filter, as for ``pictures.resize``.

    Returns:
        (height, width, C) uint8.
    """
    view = View.draw(picture.shape, rng)
    return jittered(view.of(picture, height, width, filter), rng, jitter)


def jittered(picture: Picture, rng: np.random.Generator, jitter: float) -> Picture:
    """Return a picture with a random gain and offset; see ``augment``."""
    gain = rng.uniform(1 - jitter, 1 + jitter)
    offset = 128 * rng.uniform(-jitter, jitter)
    return np.clip(np.floor(picture * gain + offset + 0.5), 0, 255).astype(np.uint8)


def augment_pair(
    picture: Picture,
    mask: Picture,
    height: int,
    width: int,
    rng: np.random.Generator,
    jitter: float = 0.2,
    filter: str = "bilinear",
) -> tuple[Picture, Mask]:
    """Return a random view of a picture, as ``augment``, and the same view of its mask.

    Args:
        picture: (H, W, C) uint8.
        mask: (H, W, 1) uint8.
        height: rows of the result.
        width: columns of the result.
        rng: the only source of randomness.
        jitter: strength of gain and offset, of the picture alone.
        filter: resize filter of the picture.

    Returns:
        (height, width, C) uint8 and (height, width) bool.
    """
    view = View.draw(picture.shape, rng)
    seen = jittered(view.of(picture, height, width, filter), rng, jitter)
    return seen, view.of(mask, height, width, MASK_FILTER)[:, :, 0] > MASK_THRESHOLD

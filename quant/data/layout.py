# SPDX-License-Identifier: Apache-2.0
"""What a layout of a data set states: where pictures lie, and where the mask of a picture lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..folders import Folders
from ..pictures import Picture, decode

MASK_THRESHOLD = 127
"""A mask pixel above this is defect: Magnetic Tile masks carry values in between."""
MASK_FILTER = "box"
"""Resize filter of masks."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""(H, W), or (N, H, W) for several; True is defect."""


class DatasetError(ValueError):
    """A folder that is no data set, or not the one asked for; the message is one line."""


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        path: the picture.
        label: index of its class.
        mask: a picture whose pixels above ``mask_above`` are defect; None where there is no mask.
        mask_above: see ``mask``.
        annotation: the file of its boxes, for what needs boxes; it is not read before.
        group: what the picture was cut from, where the data set tells (texture, part).
        subset: the data set's own division ("train", "test" or "").
    """

    path: Path
    label: int = -1
    mask: Path | None = None
    mask_above: int = MASK_THRESHOLD
    annotation: Path | None = None
    group: str = ""
    subset: str = ""

    def read_mask(self) -> Picture | None:
        """Read the mask: (H, W, 1) uint8, None where there is none.

        Raises:
            PictureError: it is no picture.
            DatasetError: it has values that cannot be meant.
        """
        if self.mask is None:
            return None
        pixels = decode(self.mask, 1)
        largest = int(pixels.max())
        if 0 < largest <= self.mask_above:
            raise DatasetError(
                f"{self.mask}: found {largest} as the mask's largest value, expected defects above "
                f"{self.mask_above}; scale the masks to 0 and 255"
            )
        return pixels

    def shows_defect(self) -> bool:
        """Read the mask and tell whether any pixel of it is defect; errors as ``read_mask``."""
        pixels = self.read_mask()
        return pixels is not None and bool((pixels > self.mask_above).any())


@dataclass(frozen=True)
class Dataset:
    """Samples of one folder; ``label`` of a sample indexes ``classes``."""

    root: Path
    layout: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]


Found: TypeAlias = list[tuple[str, Sample]]
"""Class names and samples without a label yet."""


def _none(path: Path, folders: Folders) -> None:
    """Masks are unknown to the layout."""


@dataclass(frozen=True)
class Layout:
    """A layout of a data set; ``quant.data.LAYOUTS`` lists them.

    Attributes:
        name: as cards and messages call it.
        looks: how it is recognised, for messages.
        find: pictures below a root; none if it has another layout. Raises DatasetError where the
            layout is this one and cannot be used.
        mask_of: where the mask of a picture lies; None if there is none.
        picture_of: where the picture lies whose mask a file is; None if the file is no mask.
        mask_above: a pixel of a mask above this is defect.
        general: 0 for a data set that its own names tell; the larger, the more folders look so,
            and the later it is tried.
        masks: "every" picture needs one, those with "defects" alone do, or there are "none".
    """

    name: str
    looks: str
    find: Callable[[Path, Folders], Found]
    mask_of: Callable[[Path, Folders], Path | None] = _none
    picture_of: Callable[[Path, Folders], Path | None] = _none
    mask_above: int = MASK_THRESHOLD
    masks: Literal["every", "defects", "none"] = "none"
    general: int = 0

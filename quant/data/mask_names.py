# SPDX-License-Identifier: Apache-2.0
"""What masks and the folders of masks are called."""

from __future__ import annotations

MASKS = (
    "ground truth", "ground_truth", "groundtruth", "gt", "masks", "mask", "labels", "label",
    "annotations", "segmentationclass",
)  # fmt: skip
"""Names of a folder of masks, in lower case."""
ENDS = ("_mask", "_label", "_gt", "_seg")
"""What a mask's name may have behind the picture's, in any case."""


def bare(stem: str) -> list[str]:
    """Return the name a picture has if its mask has this one; none if no mask is called so."""
    return [stem[: -len(end)] for end in ENDS if stem.lower().endswith(end)]

# SPDX-License-Identifier: Apache-2.0
"""Golden of LabelSelect: index of the largest score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.digits import whole
from ....quant.grid import IntArray


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """LabelSelect: argmax over the last axis; equal scores give the lowest index.

    Args:
        inputs: x (.., Labels), which are the scores; or with ``scoreBits`` x, factors m and offsets
            b, both (Labels, n) in digits: the scores are ``x * m + b``.
        attrs: the node's.

    Raises:
        ValueError: ``K`` is not 1.
    """
    if attrs["K"] != 1:
        raise ValueError(f"LabelSelect: found K={attrs['K']}, expected 1")
    scores = inputs[0]
    if attrs.get("scoreBits", 0):
        factors, offsets = (np.array(whole(value), dtype=object) for value in inputs[1:])
        scores = scores.astype(object) * factors + offsets
    return [scores.argmax(axis=-1)[..., None].astype(np.int64)]

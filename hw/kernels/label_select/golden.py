# SPDX-License-Identifier: Apache-2.0
"""Golden of LabelSelect: index of the largest score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """LabelSelect: argmax over the last axis; equal scores give the lowest index.

    Raises:
        ValueError: ``K`` is not 1.
    """
    if attrs["K"] != 1:
        raise ValueError(f"LabelSelect: found K={attrs['K']}, expected 1")
    return [inputs[0].argmax(axis=-1, keepdims=True)]

# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamingSplit: consecutive channels to consecutive outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def split(x: IntArray, channels: Sequence[int]) -> list[IntArray]:
    """Cut x (..., sum(channels)) along the channels into pieces of ``channels`` channels."""
    return np.split(x, np.cumsum(channels)[:-1], axis=-1)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamingSplit."""
    return split(inputs[0], attrs["ChannelsPerStream"])

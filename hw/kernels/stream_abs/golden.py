# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamAbs: the magnitude of every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamAbs."""
    return [np.abs(inputs[0])]

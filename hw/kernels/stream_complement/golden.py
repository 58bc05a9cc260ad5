# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamComplement: every bit inverted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamComplement."""
    return [~inputs[0]]

# SPDX-License-Identifier: Apache-2.0
"""Golden of StreamLink: what goes in comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamLink."""
    return [inputs[0].copy()]

# SPDX-License-Identifier: Apache-2.0
"""Golden of ShiftRequant: rounding shift and saturation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray, requantise, type_format


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """ShiftRequant: floor(x / 2**shift + 1/2), saturated to the output type."""
    bits, signed = type_format(attrs["outputDataType"])
    return [requantise(inputs[0], attrs["shift"], bits, signed)]

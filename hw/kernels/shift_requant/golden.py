# SPDX-License-Identifier: Apache-2.0
"""Golden of ShiftRequant: shortcut, rounding shift and saturation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import IntArray, requantise, type_format


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """ShiftRequant: floor((x + shortcut * 2**shortcutShift) / 2**shift + 1/2), saturated to the
    output type; inputs x[, shortcut]."""
    total = inputs[0]
    if attrs["hasShortcut"]:
        total = total + (inputs[1] << attrs["shortcutShift"])
    bits, signed = type_format(attrs["outputDataType"])
    return [requantise(total, attrs["shift"], bits, signed)]

# SPDX-License-Identifier: Apache-2.0
"""Golden model of Epilogue: the rule itself is `quant.grid.epilogue`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....quant.grid import EpilogueFormat, IntArray, epilogue


def format_of(attrs: Mapping[str, Any]) -> EpilogueFormat:
    """The shifts and widths that the attributes state."""
    return EpilogueFormat(
        acc_shift=attrs["accShift"],
        shortcut_shift=attrs["shortcutShift"],
        pre_shift=attrs["preShift"],
        slope_shift=attrs["slopeShift"],
        out_shift=attrs["outShift"],
        acc_bits=attrs["accBits"],
        pre_bits=attrs["preBits"],
        out_bits=int(attrs["outputDataType"].removeprefix("INT")),
    )


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs acc[, shortcut], params (5, C) with rows m, b, zeta, slope, eta."""
    acc, *middle, params = inputs
    shortcut = middle[0] if attrs["hasShortcut"] else None
    return [epilogue(acc, params, format_of(attrs), shortcut)]

# SPDX-License-Identifier: Apache-2.0
"""Golden model of SharedEngine: units of split, 1-bit layers on the right half, shuffle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import EpilogueFormat, IntArray, epilogue


def layer(x: IntArray, thresholds: IntArray, weights: IntArray, kernel: int) -> IntArray:
    """Return the sums of products of +-1 of a layer, (1, H, W, C).

    Args:
        x: (1, H, W, C) codes.
        thresholds: (C, 1); bit = x >= threshold.
        weights: (MW, C) bits, MW = kernel * kernel * C in that order.
        kernel: rows and columns of a window, odd; the border around the picture is bits 0.
    """
    pad = kernel // 2
    bits = np.pad(x >= thresholds[:, 0], ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(bits, (kernel, kernel), axis=(1, 2))
    rows = view.transpose(0, 1, 2, 4, 5, 3).reshape(*x.shape[:3], -1)
    return (2 * rows.astype(np.int64) - 1) @ (2 * weights - 1)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op: inputs x (1, H, W, 2C), then thresholds, weights and params per layer."""
    x, *constants = inputs
    channels = attrs["NumChannels"]
    numbers = iter(range(len(constants) // 3))
    for _ in range(attrs["Units"]):
        left, right = x[..., :channels], x[..., channels:]
        for kernel in attrs["Kernels"]:
            number = next(numbers)
            thresholds, weights, params = constants[3 * number : 3 * number + 3]
            fmt = EpilogueFormat(
                acc_shift=0,
                shortcut_shift=attrs["shortcutShifts"][number],
                pre_shift=attrs["preShifts"][number],
                slope_shift=attrs["slopeShift"],
                out_shift=attrs["outShift"],
                acc_bits=32,
                pre_bits=attrs["preBits"],
                out_bits=int(attrs["inputDataType"].removeprefix("INT")),
            )
            right = epilogue(layer(right, thresholds, weights, kernel), params, fmt, right)
        x = np.stack([left, right], axis=-1).reshape(x.shape)
    return [x]

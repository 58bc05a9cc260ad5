# SPDX-License-Identifier: Apache-2.0
"""Golden model of ConvolutionInputGenerator: the sliding windows of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....quant.grid import IntArray


def windows(
    x: IntArray, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> IntArray:
    """Return the sliding windows of (N, H, W, C) as (N, Ho, Wo, Ky*Kx*C), order ky, kx, c."""
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    n, out_h, out_w = view.shape[:3]
    return view.transpose(0, 1, 2, 4, 5, 3).reshape(n, out_h, out_w, -1)


def run(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Golden of the op with depthwise=0.

    Raises:
        ValueError: ``depthwise`` is set: its order depends on SIMD and is not part of the contract.
    """
    if attrs["depthwise"]:
        raise ValueError(
            "ConvolutionInputGenerator: found depthwise=1, expected 0 (order ky, kx, channel)"
        )
    return [windows(inputs[0], attrs["ConvKernelDim"], attrs["Stride"], attrs["Dilation"])]

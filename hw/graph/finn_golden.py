# SPDX-License-Identifier: Apache-2.0
"""NumPy goldens of the FINN ops that have no kernel folder here: padding, windows, thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Golden = Callable[[Sequence[IntArray], Mapping[str, Any]], list[IntArray]]


def pad(x: IntArray, padding: Sequence[int]) -> IntArray:
    """Pad (N, H, W, C) with code 0: ``padding`` = [top, left, bottom, right]."""
    top, left, bottom, right = padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def windows(
    x: IntArray, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> IntArray:
    """Return the sliding windows of (N, H, W, C) as (N, Ho, Wo, Ky*Kx*C), order ky, kx, c."""
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    n, out_h, out_w = view.shape[:3]
    return view.transpose(0, 1, 2, 4, 5, 3).reshape(n, out_h, out_w, -1)


def threshold(x: IntArray, thresholds: IntArray, first: int) -> IntArray:
    """Return ``first`` + the number of thresholds (C, n) reached (``>=``) by x (..., C)."""
    y = np.full(x.shape, first, dtype=np.int64)
    for column in thresholds.T:
        y += x >= column
    return y


def run_fm_padding(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """FMPadding."""
    return [pad(inputs[0], attrs["Padding"])]


def run_convolution_input_generator(
    inputs: Sequence[IntArray], attrs: Mapping[str, Any]
) -> list[IntArray]:
    """ConvolutionInputGenerator with depthwise=0.

    Raises:
        ValueError: ``depthwise`` is set: its order depends on SIMD and is not part of the contract.
    """
    if attrs["depthwise"]:
        raise ValueError(
            "ConvolutionInputGenerator: found depthwise=1, expected 0 (order ky, kx, channel)"
        )
    return [windows(inputs[0], attrs["ConvKernelDim"], attrs["Stride"], attrs["Dilation"])]


def run_thresholding(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """Thresholding.

    Raises:
        ValueError: the output type is BIPOLAR: 1-bit tensors are BINARY here.
    """
    if attrs["outputDataType"] == "BIPOLAR":
        raise ValueError("Thresholding: found outputDataType BIPOLAR, expected BINARY")
    return [threshold(inputs[0], inputs[1], attrs["ActVal"])]


def run_identity(inputs: Sequence[IntArray], attrs: Mapping[str, Any]) -> list[IntArray]:
    """StreamingDataWidthConverter: another word width, the same tensor."""
    return [inputs[0]]


GOLDENS: Mapping[str, Golden] = {
    "FMPadding": run_fm_padding,
    "ConvolutionInputGenerator": run_convolution_input_generator,
    "Thresholding": run_thresholding,
    "StreamingDataWidthConverter": run_identity,
}

# SPDX-License-Identifier: Apache-2.0
"""All that is known of the FINN ops that have no kernel folder here: padding, windows, thresholds.

NumPy goldens and, as every kernel's op gives them, the facts that the passes ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from finn.custom_op.fpgadataflow.rtl.convolutioninputgenerator_rtl import (
    ConvolutionInputGenerator_rtl,
)
from finn.custom_op.fpgadataflow.rtl.fmpadding_rtl import FMPadding_rtl
from finn.custom_op.fpgadataflow.rtl.thresholding_rtl import Thresholding_rtl

from ...quant.grid import IntArray
from ..kernels.base import Golden
from ..kernels.facts import Facts, Geometry


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


class Border(FMPadding_rtl, Facts):
    """FMPadding."""

    lanes = {"SIMD": "NumChannels"}
    moves = True
    registers_output = True
    registers_ready = True
    outputs_are = "padded pictures"
    inside_module = True

    def geometry(self) -> Geometry:
        """A border needs nothing."""
        h, w = self.get_nodeattr("ImgDim")
        top, left, bottom, right = self.get_nodeattr("Padding")
        rows = np.pad(np.arange(h), (top, bottom), constant_values=-1)
        columns = np.pad(np.arange(w), (left, right), constant_values=-1)
        return Geometry(rows, columns, int(w))


class Window(ConvolutionInputGenerator_rtl, Facts):
    """ConvolutionInputGenerator."""

    lanes = {"SIMD": "IFMChannels"}
    windows = True
    moves = True
    outputs_are = "windows"

    def geometry(self) -> Geometry:
        """A window needs its last pixel."""
        names = ("OFMDim", "Stride", "ConvKernelDim", "Dilation")
        rows, columns = (
            np.arange(out) * stride + (kernel - 1) * dilation
            for out, stride, kernel, dilation in zip(*map(self.get_nodeattr, names), strict=True)
        )
        return Geometry(rows, columns, int(self.get_nodeattr("IFMDim")[1]))

    def cuts_output(self) -> bool:
        """Where windows are emitted element by element; else valid is compared of counters."""
        return bool(self.select_impl_style() == "default")

    def cuts_ready(self) -> bool:
        """The same; else the input waits for the output within the cycle."""
        return self.cuts_output()

    def needs_full_rate(self, writer: Facts) -> bool:
        """A border, where windows are emitted element by element while they are read in bursts."""
        return isinstance(writer, Border) and not self.get_nodeattr("parallel_window")


class Thresholds(Thresholding_rtl, Facts):
    """Thresholding."""

    lanes = {"PE": "NumChannels"}
    registers_output = True
    registers_ready = True


GOLDENS: Mapping[str, Golden] = {
    "FMPadding": run_fm_padding,
    "ConvolutionInputGenerator": run_convolution_input_generator,
    "Thresholding": run_thresholding,
}
OPS: Mapping[str, type[Facts]] = {
    "FMPadding": Border,
    "ConvolutionInputGenerator": Window,
    "Thresholding": Thresholds,
}

# SPDX-License-Identifier: Apache-2.0
"""1-bit convolution blocks: RSign, +-1 weights, epilogue; trainable and as integers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from brevitas.nn import QuantConv2d, QuantIdentity
from torch import Tensor, nn
from torch.nn import functional as F

from . import functions as fn
from .block import Bound, Boundary, Cost, IntegerBlock, accumulator_ends, magnitude
from .epilogue import Epilogue, IntegerEpilogue
from .quantizers import BinaryAct, BinaryWeight


class BinaryBlock(nn.Module):
    """RSign -> 1-bit convolution bordered with -1 -> epilogue with an optional shortcut.

    While ``real`` its weights are; its activations keep their sign.

    Args:
        in_channels: channels of the input stream.
        out_channels: channels of the output stream.
        kernel: odd kernel size; the border is kernel // 2.
        stride: stride of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        taps = in_channels * kernel * kernel
        self.stride = stride
        self.padding = kernel // 2
        self.real = False
        self.threshold = nn.Parameter(torch.zeros(in_channels))
        self.conv = QuantConv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            bias=False,
            weight_quant=BinaryWeight,
        )
        nn.init.normal_(self.conv.weight, std=0.15 * math.sqrt(2.0 / taps))
        self.epilogue = Epilogue(out_channels, float(taps), taps, gamma=0.3)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the (N, C_out, H', W') stream."""
        latent = self.conv.weight
        if self.real:
            weight = latent / latent.detach().abs().mean((1, 2, 3), keepdim=True)
        else:
            weight = fn.binary_weight(latent)
        # Bits b = (s + 1) / 2 turn the border of -1 into the zeros that conv2d pads by itself:
        # sum(w*s) = sum(2*w*b) - sum(w).
        offset = weight.sum((1, 2, 3))
        if self.epilogue.uses_batch:
            # BN from batch statistics cancels any offset, so its gradient is exactly zero.
            offset = offset.detach()
        acc = F.conv2d(
            fn.rsign_bit(x, self.threshold),
            2.0 * weight,
            bias=-offset,
            stride=self.stride,
            padding=self.padding,
        )
        out: Tensor = self.epilogue(acc, shortcut, 0)
        return out

    def cost(self) -> Cost:
        """See ``block.Countable``."""
        weight = self.conv.weight
        return Cost(weight, bits=1, pairs=1, element_ops=None, norms=len(weight))

    def to_integer(self) -> IntegerBinaryBlock:
        """Return the frozen block."""
        conv = self.conv
        block = IntegerBinaryBlock(
            conv.in_channels, conv.out_channels, conv.kernel_size[0], self.stride
        )
        codes = fn.snap_threshold(self.threshold.detach()) * 2.0**fn.STREAM_FRAC
        block.threshold.copy_(codes.view(-1, 1, 1))
        block.weight.copy_(conv.quant_weight().value.detach())
        self.epilogue.frozen_into(block.epilogue, 0, 0)
        return block


class IntegerBinaryBlock(IntegerBlock):
    """RSign by comparison, border of -1, +-1 convolution, epilogue.

    Buffers ``threshold`` (C_in, 1, 1) INT8 codes and ``weight`` (C_out, C_in, k, k) of +-1.
    """

    threshold: Tensor
    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.border = kernel // 2
        self.register_buffer("threshold", torch.zeros(in_channels, 1, 1))
        self.register_buffer("weight", torch.ones(out_channels, in_channels, kernel, kernel))
        self.sign = QuantIdentity(act_quant=BinaryAct, return_quant_tensor=False)
        self.epilogue = IntegerEpilogue(out_channels)

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        ends = accumulator_ends(self.weight, -1, 1)
        yield Bound("accumulator", magnitude(ends))
        yield from self.epilogue.bounds_behind(ends)

    def datatypes(self) -> Mapping[str, str]:
        return {
            "sign_BipolarQuant_out": "BIPOLAR", "Conv_in1": "BIPOLAR", "Conv_out": "INT32",
        }  # fmt: skip

    def boundaries(self) -> Mapping[str, Boundary]:
        return {
            "sign_BipolarQuant_out": Boundary(self.sign),
            "Conv_out": Boundary(self.epilogue, entering=True),
        }

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """INT8 codes (N, C_in, H, W) -> INT8 codes (N, C_out, H', W')."""
        s = self.sign(x - self.threshold)
        if self.border:
            s = F.pad(s, (self.border,) * 4, value=-1.0)
        acc = F.conv2d(s, self.weight, stride=self.stride)
        out: Tensor = self.epilogue(acc, shortcut)
        return out

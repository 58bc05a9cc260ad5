# SPDX-License-Identifier: Apache-2.0
"""Convolution blocks of fixed-point weights, on pixels or streams; trainable and as integers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from brevitas.nn import QuantConv2d
from torch import Tensor, nn
from torch.nn import functional as F

from ..grid import signed_bits
from . import functions as fn
from .block import Bound, Boundary, Cost, IntegerBlock, accumulator_ends, magnitude
from .epilogue import Epilogue, IntegerEpilogue
from .quantizers import FixedPointWeight, weight_frac

PIXEL_RANGE = (0, 255)


class FixedPointBlock(nn.Module):
    """Convolution with fixed-point weights -> accumulator rounded to 16 bits -> epilogue.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel: odd kernel size; the border is kernel // 2 zeros.
        stride: stride of the convolution.
        weight_bits: width of the weights.
        in_range: smallest and largest input code.
        in_frac: fraction bits of the input (0 for pixels, 4 for streams).
        in_variance: variance of the input to be expected.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        weight_bits: int,
        in_range: tuple[int, int],
        in_frac: int,
        in_variance: float,
    ) -> None:
        super().__init__()
        taps = in_channels * kernel * kernel
        worst = taps * ((1 << (weight_bits - 1)) - 1) * max(-in_range[0], in_range[1])
        self.acc_shift = max(0, signed_bits(worst) - fn.ACC_BITS)
        self.in_range = in_range
        self.in_frac = in_frac
        self.real = False
        self.conv = QuantConv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=kernel // 2,
            bias=False,
            weight_quant=FixedPointWeight,
            weight_bit_width=weight_bits,
        )
        nn.init.normal_(self.conv.weight, std=math.sqrt(2.0 / taps))
        rounded = (worst >> self.acc_shift) + 1
        self.epilogue = Epilogue(out_channels, 2.0 * in_variance, rounded, gamma=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the (N, C_out, H', W') stream."""
        if self.real:
            latent = self.conv.weight
            acc = F.conv2d(x, latent, stride=self.conv.stride, padding=self.conv.padding)
            real: Tensor = self.epilogue(acc, None, 0)
            return real
        weight = self.conv.quant_weight()
        # One input channel leaves the memory format open; the network runs channels last.
        value = weight.value.to(memory_format=torch.channels_last)
        acc = F.conv2d(x, value, stride=self.conv.stride, padding=self.conv.padding)
        acc_frac = self.in_frac + weight_frac(weight.scale) - self.acc_shift
        if self.acc_shift:
            limit = float(1 << (fn.ACC_BITS - 1))
            acc = fn.round_to_grid(acc, acc_frac, -limit, limit - 1)
        out: Tensor = self.epilogue(acc, None, acc_frac)
        return out

    def cost(self) -> Cost:
        """See ``block.Countable``."""
        return Cost(self.conv.weight, element_ops=None, norms=len(self.conv.weight))

    def to_integer(self) -> IntegerFixedPointBlock:
        """Return the frozen block."""
        conv = self.conv
        weight = conv.quant_weight()
        frac = weight_frac(weight.scale)
        block = IntegerFixedPointBlock(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            conv.stride[0],
            self.in_range,
        )
        block.weight.copy_(weight.value.detach() * 2.0**frac)
        acc_frac = self.in_frac + frac - self.acc_shift
        self.epilogue.frozen_into(block.epilogue, acc_frac, self.acc_shift)
        return block


class IntegerFixedPointBlock(IntegerBlock):
    """Convolution with integer weights, accumulator rounding, epilogue.

    Buffer ``weight`` (C_out, C_in, k, k) of signed integers; ``in_range`` = smallest and
    largest input code.
    """

    weight: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        in_range: tuple[int, int],
    ) -> None:
        super().__init__()
        self.in_range = in_range
        self.stride = stride
        self.border = kernel // 2
        self.register_buffer("weight", torch.ones(out_channels, in_channels, kernel, kernel))
        self.epilogue = IntegerEpilogue(out_channels)

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        ends = accumulator_ends(self.weight, *self.in_range)
        yield Bound("accumulator", magnitude(ends))
        yield from self.epilogue.bounds_behind(ends)

    def datatypes(self) -> Mapping[str, str]:
        return {"Conv_in1": "INT8", "Conv_out": "INT32"}

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"Conv_out": Boundary(self.epilogue, entering=True)}

    def forward(self, x: Tensor) -> Tensor:
        """Integer codes (N, C_in, H, W) -> INT8 codes (N, C_out, H', W')."""
        acc = F.conv2d(x, self.weight, stride=self.stride, padding=self.border)
        out: Tensor = self.epilogue(acc, None)
        return out

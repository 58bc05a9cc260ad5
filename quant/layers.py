# SPDX-License-Identifier: Apache-2.0
"""Quantised building blocks: RSign, binary convolution block, real-valued layers, epilogue.

Every block runs in one of two states. While training (and in evaluation before ``freeze()``) values
are real numbers on fixed-point grids, computed by the fused functions. After ``freeze()`` a block
holds only integers, all tensors are integer codes, and the forward pass is written in plain
operations and Brevitas quantisers that export to QONNX node by node. Both states give the same bits.
"""

from __future__ import annotations

import math

import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import Tensor, nn
from torch.nn import functional as F

from . import functions as fn
from .grid import signed_bits
from .quantizers import BinaryWeight, FixedPointWeight

ACC_BITS = 16
"""Accumulators of layers with fixed-point weights are rounded to this width before BN."""
PIXEL_MAX = 255
BN_MOMENTUM = 0.1
EPS_FRACTION = 0.01
"""BN's eps as a fraction of the accumulator's nominal variance: a channel that hardly varies must
not claim the exponent of the whole layer."""


class Epilogue(nn.Module):
    """BN -> + shortcut -> RPReLU -> INT8 stream, with every constant snapped.

    Args:
        channels: output channels.
        nominal_variance: variance of the accumulator to be expected; sets eps.
        acc_limit: largest |accumulator| in integer units, from shapes.
        gamma: initial BN scale.
    """

    def __init__(
        self, channels: int, nominal_variance: float, acc_limit: int, gamma: float
    ) -> None:
        super().__init__()
        self.channels = channels
        self.eps = EPS_FRACTION * nominal_variance
        self.acc_limit = acc_limit
        self.statistics_fixed = False
        self.gamma = nn.Parameter(torch.full((channels,), gamma))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.zeta = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.eta = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.full((channels,), float(nominal_variance)))

    def spec(self, acc_frac: int) -> fn.EpilogueSpec:
        """Return the constants for an accumulator on the grid 2**-acc_frac."""
        return fn.EpilogueSpec(self.eps, acc_frac, self.acc_limit)

    def forward(self, acc: Tensor, shortcut: Tensor | None, acc_frac: int) -> Tensor:
        """Return the INT8 stream (N, C, H, W) of an accumulator on the grid 2**-acc_frac."""
        from_batch = self.training and not self.statistics_fixed
        if from_batch:
            with torch.no_grad():
                mean, var = fn.batch_statistics(acc)
                self.running_mean.lerp_(mean, BN_MOMENTUM)
                self.running_var.lerp_(var, BN_MOMENTUM)
        else:
            mean, var = self.running_mean, self.running_var
        return fn.fused_epilogue(
            acc,
            shortcut,
            self.gamma,
            self.beta,
            self.zeta,
            self.slope,
            self.eta,
            mean,
            var,
            self.spec(acc_frac),
            from_batch,
        )


class BinaryBlock(nn.Module):
    """RSign -> 1-bit convolution bordered with -1 -> epilogue with an optional shortcut.

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
        self.binary = True
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
        if self.binary:
            weight = fn.binary_weight(latent)
        else:
            weight = latent / latent.detach().abs().mean((1, 2, 3), keepdim=True)
        # Bits b = (s + 1) / 2 turn the border of -1 into the zeros that conv2d pads by itself:
        # sum(w*s) = sum(2*w*b) - sum(w).
        acc = F.conv2d(
            fn.rsign_bit(x, self.threshold),
            2.0 * weight,
            bias=-weight.sum((1, 2, 3)),
            stride=self.stride,
            padding=self.padding,
        )
        out: Tensor = self.epilogue(acc, shortcut, 0)
        return out


def _weight_frac(scale: Tensor) -> int:
    """Return the fraction bits of a power-of-two scale."""
    return -round(math.log2(float(scale.detach())))


class FixedPointBlock(nn.Module):
    """Convolution with fixed-point weights -> accumulator rounded to 16 bits -> epilogue.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel: odd kernel size; the border is kernel // 2 zeros.
        stride: stride of the convolution.
        weight_bits: width of the weights.
        in_limit: largest magnitude of an input code (255 for pixels, 128 for streams).
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
        in_limit: int,
        in_frac: int,
        in_variance: float,
    ) -> None:
        super().__init__()
        taps = in_channels * kernel * kernel
        worst = taps * ((1 << (weight_bits - 1)) - 1) * in_limit
        self.acc_shift = max(0, signed_bits(worst) - ACC_BITS)
        self.in_frac = in_frac
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
        weight = self.conv.quant_weight()
        acc = F.conv2d(x, weight.value, stride=self.conv.stride, padding=self.conv.padding)
        acc_frac = self.in_frac + _weight_frac(weight.scale) - self.acc_shift
        if self.acc_shift:
            limit = float(1 << (ACC_BITS - 1))
            acc = fn.round_to_grid(acc, acc_frac, -limit, limit - 1)
        out: Tensor = self.epilogue(acc, None, acc_frac)
        return out


class Classifier(nn.Module):
    """Global pooling by sum and shift to INT8, then a fixed-point linear layer with integer bias.

    Args:
        in_channels: channels of the input stream.
        classes: number of logits.
        weight_bits: width of the weights.
    """

    BIAS_LIMIT = 1 << 17
    """Keeps 1024 channels of full-scale products plus bias within 2**24."""

    def __init__(self, in_channels: int, classes: int, weight_bits: int) -> None:
        super().__init__()
        self.linear = QuantLinear(
            in_channels,
            classes,
            bias=True,
            weight_quant=FixedPointWeight,
            weight_bit_width=weight_bits,
        )
        nn.init.normal_(self.linear.weight, std=0.05)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, classes) logits of an (N, C, H, W) stream."""
        shift = pool_shift(x.shape[2], x.shape[3])
        pooled = fn.round_to_grid(
            x.sum((2, 3)) * 2.0**-shift, fn.STREAM_FRAC, fn.STREAM_MIN, fn.STREAM_MAX
        )
        weight = self.linear.quant_weight()
        frac = fn.STREAM_FRAC + _weight_frac(weight.scale)
        bias = fn.round_to_grid(self.linear.bias, frac, -self.BIAS_LIMIT, self.BIAS_LIMIT)
        return F.linear(pooled, weight.value, bias)


def pool_shift(height: int, width: int) -> int:
    """Return the rounding shift that follows the sum over a map: ceil(log2(height * width))."""
    return (height * width - 1).bit_length()


def average_pool(x: Tensor) -> Tensor:
    """Average 2x2 with stride 2 (odd borders averaged over what is there), back on the stream."""
    mean = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
    return fn.round_to_grid(mean, fn.STREAM_FRAC, fn.STREAM_MIN, fn.STREAM_MAX)


def shuffle_concat(left: Tensor, right: Tensor) -> Tensor:
    """Interleave two streams: out channel 2j = left j, 2j+1 = right j (concat, then shuffle)."""
    # Channels last throughout: the interleaving is then one copy in memory order.
    pair = torch.stack((left.permute(0, 2, 3, 1), right.permute(0, 2, 3, 1)), dim=-1)
    return pair.flatten(3).permute(0, 3, 1, 2)

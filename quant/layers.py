# SPDX-License-Identifier: Apache-2.0
"""Quantised building blocks: RSign, binary convolution block, real-valued layers, epilogue.

Every block runs in one of two states. While training (and in evaluation before ``freeze()``) values
are real numbers on fixed-point grids, computed by the fused functions. ``freeze``
replaces each block by its counterpart of ``integer.py``; both states give the same bits.

Two protocols let functions treat all blocks, those of ``pa_layers.py`` too, alike: a module with an
attribute ``real`` computes without snapping and rounding while it is True (the real-valued twin,
and the first stage of training); a module with ``to_integer()`` is what ``freeze`` replaces.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import Tensor, nn
from torch.nn import functional as F

from . import functions as fn
from .grid import signed_bits
from .integer import (
    IntegerBinaryBlock,
    IntegerClassifier,
    IntegerEpilogue,
    IntegerFixedPointBlock,
    pool_shift,
)
from .quantizers import BinaryWeight, FixedPointWeight

PIXEL_RANGE = (0, 255)
BN_MOMENTUM = 0.1
EPS_FRACTION = 0.01
"""BN's eps as a fraction of the accumulator's nominal variance: a channel that hardly varies must
not claim the exponent of the whole layer."""


@runtime_checkable
class Switchable(Protocol):
    """A module that has a real-valued twin."""

    real: bool


@runtime_checkable
class Normalising(Protocol):
    """A module with a BN of its own."""

    statistics_fixed: bool


@runtime_checkable
class Freezable(Switchable, Protocol):
    """A trainable block that has an integer counterpart."""

    def to_integer(self) -> nn.Module:
        """Return the frozen block."""


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
        self.real = False
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

    @property
    def uses_batch(self) -> bool:
        """True while BN takes its statistics from the batch."""
        return self.training and not self.statistics_fixed

    def spec(self, acc_frac: int) -> fn.EpilogueSpec:
        """Return the constants for an accumulator on the grid 2**-acc_frac."""
        return fn.EpilogueSpec(self.eps, acc_frac, self.acc_limit)

    def forward(self, acc: Tensor, shortcut: Tensor | None, acc_frac: int) -> Tensor:
        """Return the INT8 stream (N, C, H, W) of an accumulator on the grid 2**-acc_frac."""
        from_batch = self.uses_batch
        if self.real:
            return self._real_forward(acc, shortcut)
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

    def _real_forward(self, acc: Tensor, shortcut: Tensor | None) -> Tensor:
        t = F.batch_norm(
            acc,
            self.running_mean,
            self.running_var,
            self.gamma,
            self.beta,
            self.uses_batch,
            BN_MOMENTUM,
            self.eps,
        )
        if shortcut is not None:
            t = t + shortcut
        u = t - self.zeta.view(-1, 1, 1)
        return F.prelu(u, self.slope) + self.eta.view(-1, 1, 1)

    def frozen_into(self, target: IntegerEpilogue, acc_frac: int, acc_shift: int) -> None:
        """Write the integers of running statistics and parameters into ``target``."""
        rstd = (self.running_var + self.eps).rsqrt()
        k = fn.snap_epilogue(
            self.gamma * rstd,
            self.beta,
            self.running_mean,
            self.zeta,
            self.slope,
            self.eta,
            self.spec(acc_frac),
        )
        product_frac = acc_frac + k.m_frac
        shifts = [acc_shift, product_frac - fn.STREAM_FRAC, product_frac - fn.PRE_FRAC]
        target.set_integers(shifts, m=k.m, b=k.b, zeta=k.zeta, slope=k.slope, eta=k.eta)


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


def weight_frac(scale: Tensor) -> int:
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
        self.real = False
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
        pooled = x.sum((2, 3)) * 2.0 ** -pool_shift(x.shape[2], x.shape[3])
        if self.real:
            return F.linear(pooled, self.linear.weight, self.linear.bias)
        pooled = fn.round_to_grid(pooled, fn.STREAM_FRAC, fn.STREAM_MIN, fn.STREAM_MAX)
        weight = self.linear.quant_weight()
        frac = fn.STREAM_FRAC + weight_frac(weight.scale)
        bias = fn.round_to_grid(self.linear.bias, frac, -self.BIAS_LIMIT, self.BIAS_LIMIT)
        return F.linear(pooled, weight.value, bias)

    def to_integer(self) -> IntegerClassifier:
        """Return the frozen classifier."""
        weight = self.linear.quant_weight()
        frac = weight_frac(weight.scale)
        logit_frac = fn.STREAM_FRAC + frac
        bias = fn.round_to_grid(self.linear.bias, logit_frac, -self.BIAS_LIMIT, self.BIAS_LIMIT)
        classifier = IntegerClassifier(self.linear.in_features, self.linear.out_features)
        classifier.set_integers(
            [logit_frac], weight=weight.value * 2.0**frac, bias=bias * 2.0**logit_frac
        )
        return classifier


class AveragePool(nn.Module):
    """Average 2x2 with stride 2 (odd borders over what is there), rounded back on the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.real = False
        self.frac = fn.STREAM_FRAC

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2))."""
        mean = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        return (
            mean if self.real else fn.round_to_grid(mean, self.frac, fn.STREAM_MIN, fn.STREAM_MAX)
        )

    def to_integer(self) -> AveragePool:
        """Return the same pooling on integer codes."""
        pool = AveragePool()
        pool.frac = 0
        return pool


def shuffle_concat(left: Tensor, right: Tensor) -> Tensor:
    """Interleave two streams: out channel 2j = left j, 2j+1 = right j (concat, then shuffle)."""
    if torch.compiler.is_exporting():
        n, c, h, w = left.shape
        both = torch.cat((left, right), dim=1).reshape(n, 2, c, h, w)
        return both.transpose(1, 2).reshape(n, 2 * c, h, w)
    # Channels last throughout: the interleaving is then one copy in memory order.
    pair = torch.stack((left.permute(0, 2, 3, 1), right.permute(0, 2, 3, 1)), dim=-1)
    return pair.flatten(3).permute(0, 3, 1, 2)


def set_real(net: nn.Module, on: bool) -> None:
    """Make every block inside ``net`` its real-valued twin (see the head of this file), or back."""
    for module in net.modules():
        if isinstance(module, Switchable):
            module.real = on


def fix_statistics(net: nn.Module) -> None:
    """From now on every BN inside ``net`` uses its running statistics, in training mode too."""
    for module in net.modules():
        if isinstance(module, Normalising):
            module.statistics_fixed = True


@torch.no_grad()
def freeze(net: nn.Module) -> None:
    """Replace every trainable block inside ``net`` by its integer counterpart, in place.

    Raises:
        ValueError: a parameter or statistic is not finite, or a block is real-valued.
    """
    for name, value in net.state_dict().items():
        if not torch.isfinite(value).all():
            raise ValueError(f"freeze: {name} holds NaN or infinity; train again from before it")
    blocks = {n: m for n, m in net.named_modules() if isinstance(m, Freezable)}
    for name, block in blocks.items():
        if block.real:
            raise ValueError(
                f"freeze: {name} has real weights, expected set_real(net, False) before and a "
                "fine-tune of the quantised network"
            )
    frozen = {name: block.to_integer() for name, block in blocks.items()}
    for name, module in frozen.items():
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, module)

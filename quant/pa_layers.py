# SPDX-License-Identifier: Apache-2.0
"""Trainable PA blocks: BN and PA activation, PA convolution, residual or epilogue.

Like the blocks of ``layers.py`` they compute values on integer grids, decided by the very integers
that ``freeze`` writes. With ``real`` set (see ``layers.set_real``) a block is its real-valued twin:
BN, ReLU, real weights, no rounding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import functions as fn
from . import pa_functions as pa
from .grid import signed_bits
from .layers import BN_MOMENTUM, Epilogue
from .pa_integer import (
    IntegerPaActivation,
    IntegerPaBlock,
    IntegerPaConv,
    IntegerPaEpilogueBlock,
    check_frozen,
    ordered,
)
from .pa_quantizers import PaLevels

EPS = 1e-3
"""Added to the variance of a stream: a channel that hardly varies must not be all noise."""
FULL_WIDTH_TAPS = 2304
"""Layers with more taps have 7-bit coefficients, so that their sums stay within 2**24."""


def layer_spec(taps: int, m: int, n: int, levels: pa.Levels, bits: int | None) -> pa.PaSpec:
    """Return the constants of a layer; ``bits`` None chooses the width by the number of taps.

    Raises:
        ValueError: see ``PaSpec``.
    """
    width = bits if bits is not None else 8 if taps <= FULL_WIDTH_TAPS else 7
    return pa.PaSpec(m, n, levels, width)


class PaActivation(nn.Module):
    """BN -> PA activation of an INT8 stream.

    Args:
        channels: channels of the stream.
        spec: constants of the layer.
    """

    def __init__(self, channels: int, spec: pa.PaSpec) -> None:
        super().__init__()
        self.real = False
        self.statistics_fixed = False
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.levels = PaLevels(spec)
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    @property
    def uses_batch(self) -> bool:
        """True while BN takes its statistics from the batch."""
        return self.training and not self.statistics_fixed

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        """Return the (N, C, H, W) values and their fraction bits (0 while real)."""
        from_batch = self.uses_batch
        if self.real:
            a = F.batch_norm(
                x, self.running_mean, self.running_var, self.gamma, self.beta, from_batch,
                BN_MOMENTUM, EPS,
            )  # fmt: skip
            return F.relu(a), 0
        values, frac = self.levels.levels()
        index = pa.stream_index(x)
        mean, var = self.running_mean, self.running_var
        if from_batch:
            with torch.no_grad():
                mean, var = pa.stream_statistics(index, x.shape[1])
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), BN_MOMENTUM)
                self.running_var.lerp_(var.to(self.running_var.dtype), BN_MOMENTUM)
        out = pa.pa_stream(
            x, index, self.gamma, self.beta, self.levels.endpoints(), values, mean, var, EPS,
            self.levels.step, from_batch,
        )  # fmt: skip
        return out, frac

    def frozen_into(self, target: IntegerPaActivation) -> None:
        """Write the thresholds of running statistics and parameters into ``target``."""
        folded = pa.fold_thresholds(
            self.gamma, self.beta, self.running_mean, self.running_var, EPS,
            self.levels.endpoints(),
        )  # fmt: skip
        target.fill(sign=folded.sign, thresholds=folded.thresholds)


class PaConv(nn.Module):
    """BN -> PA activation -> convolution with PA weights, border 0.

    Args:
        in_channels: channels of the input stream.
        out_channels: channels of the accumulators.
        kernel: odd kernel size; the border is kernel // 2.
        stride: stride of the convolution.
        m: number of weight endpoints, even, 2..14.
        n: number of activation endpoints, 1..15.
        levels: ``free``, or ``linear``: codes times a power of two.
        coefficient_bits: width of alpha and beta, 4..8; None chooses 8, or 7 for many taps.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        m: int = 4,
        n: int = 5,
        levels: pa.Levels = "free",
        coefficient_bits: int | None = None,
    ) -> None:
        super().__init__()
        self.taps = in_channels * kernel * kernel
        self.stride = stride
        self.padding = kernel // 2
        self.real = False
        self.spec = layer_spec(self.taps, m, n, levels, coefficient_bits)
        self.activation = PaActivation(in_channels, self.spec)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        nn.init.normal_(self.weight, std=math.sqrt(2.0 / self.taps))

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        """Return the (N, C_out, H', W') accumulators and their fraction bits (0 while real)."""
        a, beta_frac = self.activation(x)
        weight: Tensor = self.weight
        alpha_frac = 0
        if not self.real:
            weight, alpha_frac = pa.pa_weight(weight, self.spec, beta_frac)
        acc = F.conv2d(a, weight, stride=self.stride, padding=self.padding)
        return acc, alpha_frac + beta_frac

    def frozen_into(self, target: IntegerPaConv) -> int:
        """Write codes, codebooks and thresholds into ``target``; return the fraction bits."""
        values, beta_frac = self.activation.levels.levels()
        quantised = pa.quantise_weight(self.weight, self.spec, beta_frac)
        self.activation.frozen_into(target.activation)
        target.fill(
            weight=quantised.index - self.spec.m // 2,
            alpha=quantised.alpha,
            beta=F.pad(values * 2.0**beta_frac, (1, 0)),
        )
        return quantised.frac + beta_frac

    def integer_arguments(self) -> tuple[int, int, int, int, int, int]:
        """Return the arguments of the frozen blocks."""
        out_channels, in_channels, kernel, _ = self.weight.shape
        return in_channels, out_channels, kernel, self.stride, self.spec.m, self.spec.n


class PaBlock(nn.Module):
    """``PaConv`` -> + shortcut -> INT8 stream, without a BN of its own. Arguments as ``PaConv``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        m: int = 4,
        n: int = 5,
        levels: pa.Levels = "free",
        coefficient_bits: int | None = None,
    ) -> None:
        super().__init__()
        self.real = False
        self.conv = PaConv(
            in_channels, out_channels, kernel, stride, m=m, n=n, levels=levels,
            coefficient_bits=coefficient_bits,
        )  # fmt: skip

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the (N, C_out, H', W') stream."""
        acc, _ = self.conv(x)
        if self.real:
            return acc if shortcut is None else acc + shortcut
        return pa.residual(acc, shortcut)

    def to_integer(self) -> IntegerPaBlock:
        """Return the frozen block."""
        block = IntegerPaBlock(*self.conv.integer_arguments())
        block.set_integers([self.conv.frozen_into(block.conv)])
        return block


class PaEpilogueBlock(nn.Module):
    """``PaConv`` -> accumulator rounded to 16 bits -> epilogue. Arguments as ``PaConv``."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        m: int = 4,
        n: int = 5,
        levels: pa.Levels = "free",
        coefficient_bits: int | None = None,
    ) -> None:
        super().__init__()
        self.real = False
        self.conv = PaConv(
            in_channels, out_channels, kernel, stride, m=m, n=n, levels=levels,
            coefficient_bits=coefficient_bits,
        )  # fmt: skip
        spec = self.conv.spec
        largest = (spec.m // 2 * spec.n) if levels == "linear" else spec.alpha_max * spec.beta_max
        worst = self.conv.taps * largest
        self.acc_shift = max(0, signed_bits(worst) - fn.ACC_BITS)
        self.epilogue = Epilogue(out_channels, 1.0, (worst >> self.acc_shift) + 1, gamma=0.3)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return the (N, C_out, H', W') stream."""
        acc, frac = self.conv(x)
        frac -= self.acc_shift
        if self.acc_shift and not self.real:
            limit = float(1 << (fn.ACC_BITS - 1))
            acc = fn.round_to_grid(acc, frac, -limit, limit - 1)
        out: Tensor = self.epilogue(acc, shortcut, frac)
        return out

    def to_integer(self) -> IntegerPaEpilogueBlock:
        """Return the frozen block."""
        block = IntegerPaEpilogueBlock(*self.conv.integer_arguments())
        frac = self.conv.frozen_into(block.conv) - self.acc_shift
        self.epilogue.frozen_into(block.epilogue, frac, self.acc_shift)
        return block


@torch.no_grad()
def check(net: nn.Module) -> None:
    """Refuse a network whose PA blocks, trainable or frozen, hold values outside their formats.

    Raises:
        ValueError: one line naming tensor and value.
    """
    for name, module in net.named_modules():
        if isinstance(module, PaLevels):
            ordered(f"{name}.endpoints", module.endpoints().view(1, -1), strictly=True)
    check_frozen(net)

# SPDX-License-Identifier: Apache-2.0
"""Trainable k-bit blocks of U-BiNet: convolutions, up-convolution and the classifier of pixels.

Streams hold level codes 0..L for values 0..1, so accumulators of +-1 weights are integers. While
BN uses the batch, the activation is computed in floating point; from fixed statistics on it is
decided by the very thresholds that ``freeze`` writes. With ``real`` set (see ``layers.set_real``) a
block is its real-valued twin: real weights, BN, ReLU, no rounding, in the same unit 1/L.
"""

from __future__ import annotations

import math

import torch
from brevitas.nn import QuantConv2d
from torch import Tensor, nn
from torch.nn import functional as F

from . import functions as fn
from .kbit_functions import (
    KbitSpec,
    kbit_activation,
    look_up_levels,
    top_level,
)
from .kbit_integer import (
    HARDWARE_BITS,
    IntegerKbitActivation,
    IntegerKbitConv,
    IntegerKbitUp,
    IntegerPixelClassifier,
)
from .layers import BN_MOMENTUM, EPS_FRACTION, weight_frac
from .quantizers import FixedPointWeight
from .signed_thresholds import FloatArray, SignedThresholds, derive, fold, threshold_count

CODE_VARIANCE = 0.2
"""Nominal mean square of an activation, 1 being the largest."""
LATENT_STD = 0.5
"""Of +-1 weights, times sqrt(2 / taps)."""
BRIGHTNESS_EVERY = 4
"""One filter of pixels in so many begins with a sum of its own; the others begin with sum 0 and see
contrast alone, which brightness would drown."""
MONOTONE_MARGIN = 1.0 - 2.0**-20
"""Keeps eta below 0.5 / L, from where on RSiLU steps down, in float32 too."""


class KbitActivation(nn.Module):
    """BN -> RSiLU -> clip to [0, 1] -> k-bit quantiser, of an accumulator.

    Args:
        channels: channels of the accumulator.
        k: bits of the codes.
        nominal_variance: variance of the accumulator to be expected; sets eps.
        limit: largest |accumulator| in integer units, from shapes.
        rsilu: False for BN, clip and quantiser alone.
        monotone: hold eta below 0.5 / L, where the activation never steps down.
    """

    zeta: Tensor | None
    eta: Tensor | None

    def __init__(
        self,
        channels: int,
        k: int,
        nominal_variance: float,
        limit: int,
        *,
        rsilu: bool = True,
        monotone: bool = False,
    ) -> None:
        super().__init__()
        self.spec = KbitSpec(EPS_FRACTION * nominal_variance, k)
        self.limit = limit
        self.monotone = monotone
        self.real = False
        self.statistics_fixed = False
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        zeta, eta = (nn.Parameter(torch.zeros(channels)) if rsilu else None for _ in range(2))
        self.register_parameter("zeta", zeta)
        self.register_parameter("eta", eta)
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.full((channels,), float(nominal_variance)))

    @property
    def uses_batch(self) -> bool:
        """True while BN takes its statistics from the batch."""
        return self.training and not self.statistics_fixed

    @property
    def falling(self) -> bool:
        """True where the activation may step down."""
        return self.eta is not None and not self.monotone

    def eta_in_use(self) -> Tensor | None:
        """Return eta (C,), held where a monotone activation needs it."""
        if self.eta is None or not self.monotone:
            return self.eta
        return self.eta.clamp(max=0.5 / self.spec.top * MONOTONE_MARGIN)

    def forward(self, acc: Tensor, acc_frac: int) -> Tensor:
        """Return the codes of an accumulator on the grid 2**-acc_frac."""
        from_batch = self.uses_batch
        if self.real:
            return self._real_forward(acc)
        mean, var = self.running_mean, self.running_var
        codes = None
        if from_batch:
            with torch.no_grad():
                mean, var = fn.batch_statistics(acc)
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), BN_MOMENTUM)
                self.running_var.lerp_(var.to(self.running_var.dtype), BN_MOMENTUM)
        elif self.spec.k in HARDWARE_BITS:
            codes = self._levels(acc, acc_frac)
        return kbit_activation(
            acc, self.gamma, self.beta, self.zeta, self.eta_in_use(), mean, var, self.spec,
            from_batch, codes,
        )  # fmt: skip

    def _real_forward(self, acc: Tensor) -> Tensor:
        y = F.batch_norm(
            acc, self.running_mean, self.running_var, self.gamma, self.beta, self.uses_batch,
            BN_MOMENTUM, self.spec.eps,
        )  # fmt: skip
        return F.relu(y) * self.spec.top

    @torch.no_grad()
    def _levels(self, acc: Tensor, acc_frac: int) -> Tensor:
        derived = self.derive(acc_frac)
        sums = F.pad(torch.from_numpy(derived.steps).cumsum(1), (1, 0))
        sums = sums + torch.from_numpy(derived.base).view(-1, 1)
        thresholds = torch.from_numpy(derived.thresholds)
        scaled = acc * 2.0**acc_frac if acc_frac else acc
        return look_up_levels(scaled, thresholds.to(acc.device), sums.to(acc.device))

    def derive(self, acc_frac: int) -> SignedThresholds:
        """Return the thresholds of running statistics and parameters on integer accumulators."""
        function = fold(
            _float64(self.gamma),
            _float64(self.beta),
            _float64(self.running_mean),
            _float64(self.running_var),
            self.spec.eps,
            None if self.zeta is None else _float64(self.zeta),
            None if (eta := self.eta_in_use()) is None else _float64(eta),
            self.spec.top,
            acc_frac,
        )
        count = threshold_count(self.spec.top, self.falling)
        return derive(function, -self.limit, self.limit, count)

    def frozen_into(self, target: IntegerKbitActivation, acc_frac: int) -> None:
        """Write the thresholds into ``target``."""
        target.fill_thresholds(self.derive(acc_frac))


def _float64(value: Tensor) -> FloatArray:
    return value.detach().cpu().double().numpy()


def _latent(shape: tuple[int, ...], taps: int) -> nn.Parameter:
    """Return new latent +-1 weights."""
    return nn.Parameter(torch.randn(shape) * (LATENT_STD * math.sqrt(2.0 / taps)))


def _weight_in_use(latent: Tensor, real: bool, axes: tuple[int, ...]) -> Tensor:
    """Return +-1 weights, or the real ones in the same unit: mean magnitude 1 per output."""
    if not real:
        return fn.binary_weight(latent)
    return latent / latent.detach().abs().mean(axes, keepdim=True)


class BinaryKbitBlock(nn.Module):
    """+-1 convolution on codes, border 0, then the activation.

    Args:
        in_channels: channels of the input codes.
        out_channels: channels of the output codes.
        kernel: odd kernel size; the border is kernel // 2.
        k: bits of the codes.
        monotone: see ``KbitActivation``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, k: int, *, monotone: bool = False
    ) -> None:
        super().__init__()
        self.taps = in_channels * kernel * kernel
        self.padding = kernel // 2
        self.real = False
        self.weight = _latent((out_channels, in_channels, kernel, kernel), self.taps)
        self.activation = _behind(self.taps, out_channels, k, rsilu=True, monotone=monotone)

    def forward(self, x: Tensor) -> Tensor:
        """Return the (N, C_out, H, W) codes."""
        weight = _weight_in_use(self.weight, self.real, (1, 2, 3))
        out: Tensor = self.activation(F.conv2d(x, weight, padding=self.padding), 0)
        return out

    def to_integer(self) -> IntegerKbitConv:
        """Return the frozen block."""
        out_channels, in_channels, kernel, _ = self.weight.shape
        spec = self.activation.spec
        block = IntegerKbitConv(
            in_channels,
            out_channels,
            kernel,
            (0, spec.top),
            spec.k,
            self.activation.falling,
            binary=True,
        )
        block.weight.copy_(fn.binary_weight(self.weight))
        self.activation.frozen_into(block.activation, 0)
        return block


def _behind(taps: int, channels: int, k: int, *, rsilu: bool, monotone: bool) -> KbitActivation:
    """Return the activation of a sum of ``taps`` codes times +-1."""
    top = top_level(k)
    return KbitActivation(
        channels, k, CODE_VARIANCE * taps * top**2, taps * top, rsilu=rsilu, monotone=monotone
    )


class BinaryUpBlock(nn.Module):
    """Transposed 2x2 convolution of stride 2 with +-1 weights -> BN -> clip -> quantiser.

    Args:
        in_channels: channels of the input codes.
        out_channels: channels of the output codes.
        k: bits of the codes.
    """

    def __init__(self, in_channels: int, out_channels: int, k: int) -> None:
        super().__init__()
        self.real = False
        self.weight = _latent((in_channels, out_channels, 2, 2), in_channels)
        self.activation = _behind(in_channels, out_channels, k, rsilu=False, monotone=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the (N, C_out, 2H, 2W) codes."""
        weight = _weight_in_use(self.weight, self.real, (0, 2, 3))
        out: Tensor = self.activation(F.conv_transpose2d(x, weight, stride=2), 0)
        return out

    def to_integer(self) -> IntegerKbitUp:
        """Return the frozen block."""
        in_channels, out_channels, _, _ = self.weight.shape
        block = IntegerKbitUp(in_channels, out_channels, self.activation.spec.k)
        block.weight.copy_(fn.binary_weight(self.weight))
        self.activation.frozen_into(block.activation, 0)
        return block


class FixedPointKbitBlock(nn.Module):
    """Convolution of pixels with fixed-point weights, border 0, then the activation.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel: odd kernel size; the border is kernel // 2 zeros.
        weight_bits: width of the weights.
        in_range: smallest and largest input code.
        in_variance: variance of the input to be expected.
        k: bits of the codes.
        monotone: see ``KbitActivation``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        weight_bits: int,
        in_range: tuple[int, int],
        in_variance: float,
        k: int,
        *,
        monotone: bool = False,
    ) -> None:
        super().__init__()
        taps = in_channels * kernel * kernel
        limit = taps * ((1 << (weight_bits - 1)) - 1) * max(-in_range[0], in_range[1])
        self.in_range = in_range
        self.real = False
        self.conv = QuantConv2d(
            in_channels,
            out_channels,
            kernel,
            padding=kernel // 2,
            bias=False,
            weight_quant=FixedPointWeight,
            weight_bit_width=weight_bits,
        )
        nn.init.normal_(self.conv.weight, std=math.sqrt(2.0 / taps))
        with torch.no_grad():
            sums = self.conv.weight.mean((1, 2, 3), keepdim=True)
            sums[::BRIGHTNESS_EVERY] = 0.0
            self.conv.weight -= sums
        self.activation = KbitActivation(
            out_channels, k, 2.0 * in_variance, limit, monotone=monotone
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the (N, C_out, H, W) codes."""
        if self.real:
            value, frac = self.conv.weight, 0
        else:
            weight = self.conv.quant_weight()
            value, frac = weight.value, weight_frac(weight.scale)
        out: Tensor = self.activation(F.conv2d(x, value, padding=self.conv.padding), frac)
        return out

    def to_integer(self) -> IntegerKbitConv:
        """Return the frozen block."""
        conv, spec = self.conv, self.activation.spec
        weight = conv.quant_weight()
        frac = weight_frac(weight.scale)
        block = IntegerKbitConv(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            self.in_range,
            spec.k,
            self.activation.falling,
            binary=False,
        )
        block.weight.copy_(weight.value * 2.0**frac)
        self.activation.frozen_into(block.activation, frac)
        return block


class PixelClassifier(nn.Module):
    """1x1 convolution of a stream with fixed-point weights and integer bias: logits of each pixel.

    Args:
        in_channels: channels of the stream.
        classes: number of logits.
        weight_bits: width of the weights.
        in_range: smallest and largest code of the stream.
        code_frac: fraction bits of what the stream holds, 0 for codes.
        value_frac: a code counts as code * 2**-value_frac, so that logits are integers times a
            power of two.
    """

    BIAS_LIMIT = 1 << 20
    """Keeps 256 channels of full-scale products plus bias within 2**24."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        weight_bits: int,
        in_range: tuple[int, int],
        code_frac: int,
        value_frac: int,
    ) -> None:
        super().__init__()
        self.real = False
        self.in_range = in_range
        self.scale = 2.0 ** (code_frac - value_frac)
        self.in_frac = value_frac
        self.conv = QuantConv2d(
            in_channels,
            classes,
            1,
            bias=True,
            weight_quant=FixedPointWeight,
            weight_bit_width=weight_bits,
        )
        nn.init.normal_(self.conv.weight, std=math.sqrt(1.0 / in_channels))
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the (N, classes, H, W) logits of an (N, C, H, W) stream."""
        values = x * self.scale
        if self.real:
            return F.conv2d(values, self.conv.weight, self.conv.bias)
        weight = self.conv.quant_weight()
        return F.conv2d(values, weight.value, self._bias(weight_frac(weight.scale)))

    def _bias(self, frac: int) -> Tensor:
        """Return the bias on the grid of the products."""
        return fn.round_to_grid(
            self.conv.bias, frac + self.in_frac, -self.BIAS_LIMIT, self.BIAS_LIMIT
        )

    def to_integer(self) -> IntegerPixelClassifier:
        """Return the frozen classifier."""
        weight = self.conv.quant_weight()
        frac = weight_frac(weight.scale)
        logit_frac = frac + self.in_frac
        classifier = IntegerPixelClassifier(
            self.conv.in_channels, self.conv.out_channels, self.in_range
        )
        classifier.set_integers(
            [logit_frac],
            weight=weight.value * 2.0**frac,
            bias=self._bias(frac) * 2.0**logit_frac,
        )
        return classifier

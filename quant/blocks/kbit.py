# SPDX-License-Identifier: Apache-2.0
"""k-bit blocks: convolution and up-convolution, then the activation; trainable and as integers.

Streams hold level codes 0..L for values 0..1, L = 2^k - 1, so accumulators of +-1 weights are
integers, and borders are code 0. While BN uses the batch, the activation is computed in floating
point; from fixed statistics on it is decided by the very thresholds that ``freeze`` writes. A real
block has real weights, BN, ReLU, no rounding, in the same unit 1/L.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from brevitas.nn import QuantConv2d
from torch import Tensor, nn
from torch.nn import functional as F

from . import functions as fn
from .block import Bound, Boundary, Cost, IntegerBlock, accumulator_ends, magnitude
from .kbit_activation import IntegerKbitActivation, KbitActivation
from .kbit_functions import top_level
from .quantizers import FixedPointWeight, weight_frac

CODE_VARIANCE = 0.2
"""Nominal mean square of an activation, 1 being the largest."""
LATENT_STD = 0.5
"""Of +-1 weights, times sqrt(2 / taps)."""
BRIGHTNESS_EVERY = 4
"""One filter of pixels in so many begins with a sum of its own; the others begin with sum 0 and see
contrast alone, which brightness would drown."""


def _cost(weight: Tensor, activation: KbitActivation, phases: int = 1) -> Cost:
    """Return the cost of +-1 weights (C_out, C_in, ...) on k-bit codes."""
    norms, rsilu = len(weight), activation.rsilu_channels
    if activation.real:
        return Cost(weight, norms=norms, phases=phases)
    k = activation.spec.k
    return Cost(weight, bits=1, pairs=k, element_ops=None, norms=norms, rsilu=rsilu, phases=phases)


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

    def cost(self) -> Cost:
        """See ``block.Countable``."""
        return _cost(self.weight, self.activation)

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

    def cost(self) -> Cost:
        """See ``block.Countable``."""
        weight = self.weight.transpose(0, 1)
        return _cost(weight, self.activation, phases=weight[0, 0].numel())

    def to_integer(self) -> IntegerKbitUp:
        """Return the frozen block."""
        in_channels, out_channels, _, _ = self.weight.shape
        block = IntegerKbitUp(in_channels, out_channels, self.activation.spec.k)
        block.weight.copy_(fn.binary_weight(self.weight))
        self.activation.frozen_into(block.activation, 0)
        return block


def _latent(shape: tuple[int, ...], taps: int) -> nn.Parameter:
    """Return new latent +-1 weights."""
    return nn.Parameter(torch.randn(shape) * (LATENT_STD * math.sqrt(2.0 / taps)))


def _weight_in_use(latent: Tensor, real: bool, axes: tuple[int, ...]) -> Tensor:
    """Return +-1 weights, or the real ones in the same unit: mean magnitude 1 per output."""
    if not real:
        return fn.binary_weight(latent)
    return latent / latent.detach().abs().mean(axes, keepdim=True)


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

    def cost(self) -> Cost:
        """See ``block.Countable``."""
        weight, rsilu = self.conv.weight, self.activation.rsilu_channels
        return Cost(weight, norms=len(weight), rsilu=rsilu)

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


class IntegerKbitConv(IntegerBlock):
    """Convolution with integer weights on pixels or codes, then the activation.

    Buffer ``weight`` (C_out, C_in, k, k), +-1 (``binary``) or 8-bit; ``in_range`` = smallest and
    largest input code.
    """

    weight: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        in_range: tuple[int, int],
        k: int,
        falling: bool,
        *,
        binary: bool,
    ) -> None:
        super().__init__()
        self.in_range = in_range
        self.binary = binary
        self.border = kernel // 2
        self.register_buffer("weight", torch.ones(out_channels, in_channels, kernel, kernel))
        self.activation = IntegerKbitActivation(out_channels, k, falling)

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        yield Bound("accumulator", magnitude(accumulator_ends(self.weight, *self.in_range)))

    def datatypes(self) -> Mapping[str, str]:
        return {"Conv_in1": "BIPOLAR" if self.binary else "INT8", "Conv_out": "INT32"}

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"Conv_out": Boundary(self.activation, entering=True)}

    def forward(self, x: Tensor) -> Tensor:
        """Codes (N, C_in, H, W) -> codes (N, C_out, H, W)."""
        out: Tensor = self.activation(F.conv2d(x, self.weight, padding=self.border))
        return out


class IntegerKbitUp(IntegerBlock):
    """Transposed 2x2 convolution of stride 2 with +-1 weights, then the activation.

    Buffer ``weight`` (C_in, C_out, 2, 2).
    """

    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int, k: int) -> None:
        super().__init__()
        self.in_range = (0, top_level(k))
        self.register_buffer("weight", torch.ones(in_channels, out_channels, 2, 2))
        self.activation = IntegerKbitActivation(out_channels, k, falling=False)

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        # Every output pixel sees one input pixel.
        weight = self.weight.movedim(0, 3).flatten(0, 2)
        yield Bound("accumulator", magnitude(accumulator_ends(weight, *self.in_range)))

    def datatypes(self) -> Mapping[str, str]:
        return {"ConvTranspose_in1": "BIPOLAR", "ConvTranspose_out": "INT32"}

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"ConvTranspose_out": Boundary(self.activation, entering=True)}

    def forward(self, x: Tensor) -> Tensor:
        """Codes (N, C_in, H, W) -> codes (N, C_out, 2H, 2W)."""
        out: Tensor = self.activation(F.conv_transpose2d(x, self.weight, stride=2))
        return out

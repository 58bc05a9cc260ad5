# SPDX-License-Identifier: Apache-2.0
"""What ends a network: logits of a pooled map or of every pixel; trainable and as integers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import Tensor, nn
from torch.nn import functional as F

from ..grid import limits
from . import functions as fn
from .block import Bound, Boundary, Cost, Shifted, accumulator_ends, magnitude
from .quantizers import FixedPointWeight, Requant, weight_frac


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

    def cost(self) -> Cost:
        """See ``block.Countable``."""
        return Cost(self.linear.weight, bias=self.linear.bias.numel())

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

    def cost(self) -> Cost:
        """See ``block.Countable``."""
        return Cost(self.conv.weight, bias=self.conv.bias.numel())

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


class IntegerLogits(Shifted):
    """What ends a frozen network: integer weights and bias.

    Buffers ``weight``, ``bias`` (classes,), ``shifts`` = fraction bits of a logit.

    Args:
        shape: shape of the weights, classes first.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(1)
        self.register_buffer("weight", torch.ones(shape))
        self.register_buffer("bias", torch.zeros(shape[0]))
        self.logit_frac = 0

    def refresh(self) -> None:
        self.logit_frac = int(self.shifts[0])

    def logit_bound(self, low: int, high: int) -> Bound:
        """Return the worst case of a logit of codes ``low..high``."""
        return Bound("logit", magnitude(accumulator_ends(self.weight, low, high, self.bias)))


class IntegerClassifier(IntegerLogits):
    """Sum over the map, rounding shift to INT8, integer linear layer of (classes, C) weights."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__((classes, in_channels))
        self.round_pool = Requant(0, 8)

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        low, high = limits(8)
        yield Bound("pool sum", -low * shape[2] * shape[3])
        yield self.logit_bound(low, high)

    def datatypes(self) -> Mapping[str, str]:
        return {"Gemm_in1": "INT8", "Gemm_out": "INT32"}

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"Gemm_out": Boundary(self)}

    def forward(self, x: Tensor) -> Tensor:
        """INT8 codes (N, C, H, W) -> integer logits (N, classes)."""
        total = x.sum((2, 3))
        shift = pool_shift(x.shape[2], x.shape[3])
        if shift:
            total = self.round_pool(total * 2.0**-shift)
        return F.linear(total, self.weight, self.bias)


class IntegerPixelClassifier(IntegerLogits):
    """Integer 1x1 convolution with bias: logits of every pixel.

    Buffers ``weight`` (classes, C, 1, 1), ``bias`` (classes,), ``shifts`` = fraction bits of a
    logit.
    """

    def __init__(self, in_channels: int, classes: int, in_range: tuple[int, int]) -> None:
        super().__init__((classes, in_channels, 1, 1))
        self.in_range = in_range

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        yield self.logit_bound(*self.in_range)

    def datatypes(self) -> Mapping[str, str]:
        return {"Conv_in1": "INT8", "Conv_out": "INT32"}

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"Conv_out": Boundary(self)}

    def forward(self, x: Tensor) -> Tensor:
        """Codes (N, C, H, W) -> integer logits (N, classes, H, W)."""
        return F.conv2d(x, self.weight, self.bias)


def pool_shift(height: int, width: int) -> int:
    """Return the rounding shift that follows the sum over a map: ceil(log2(height * width))."""
    return (height * width - 1).bit_length()

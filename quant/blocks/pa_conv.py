# SPDX-License-Identifier: Apache-2.0
"""PA convolution: BN and PA activation of a stream, PA weights; trainable and as integers.

The trainable form computes values on integer grids, decided by the very integers that ``freeze``
writes; its real-valued twin has BN, ReLU, real weights, no rounding. Frozen weight codes are
signed, -M/2..M/2; ``alpha[code + M/2]`` is the weight's integer, ``beta[code]`` the activation's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..grid import IntArray
from . import functions as fn
from . import pa_functions as pa
from . import pa_stream as stream
from .block import Boundary, Cost, Mirrored, accumulator_ends
from .pa_checks import check_codebooks, check_thresholds
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
                fn.BN_MOMENTUM, EPS,
            )  # fmt: skip
            return F.relu(a), 0
        values, frac = self.levels.levels()
        index = stream.stream_index(x)
        mean, var = self.running_mean, self.running_var
        if from_batch:
            with torch.no_grad():
                mean, var = stream.stream_statistics(index, x.shape[1])
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), fn.BN_MOMENTUM)
                self.running_var.lerp_(var.to(self.running_var.dtype), fn.BN_MOMENTUM)
        out = stream.pa_stream(
            x, index, self.gamma, self.beta, self.levels.endpoints(), values, mean, var, EPS,
            self.levels.step, from_batch,
        )  # fmt: skip
        return out, frac

    def frozen_into(self, target: IntegerPaActivation) -> None:
        """Write the thresholds of running statistics and parameters into ``target``."""
        folded = stream.fold_thresholds(
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

    def convolution_cost(self, norms: int, behind: int = 0) -> Cost:
        """Return the cost of a PA convolution: N comparisons, N multiplications, N-1 additions and
        one batch norm per output (table 8 of PA-Net).

        Args:
            norms: channels of batch norm.
            behind: element-wise operations per output behind it.
        """
        if self.real:
            return Cost(self.weight, norms=norms)
        m, n = self.spec.m, self.spec.n
        return Cost(self.weight, bits=m, pairs=m * n, element_ops=3 * n + behind, norms=norms)

    def integer_arguments(self) -> tuple[int, int, int, int, int, int]:
        """Return the arguments of the frozen blocks."""
        out_channels, in_channels, kernel, _ = self.weight.shape
        return in_channels, out_channels, kernel, self.stride, self.spec.m, self.spec.n


class IntegerPaActivation(Mirrored):
    """Level codes of INT8 codes: ``#{i: sign * x >= thresholds_i}``.

    Buffers ``sign`` (C,) of -1, 0, +1 and ``thresholds`` (C, N), non-decreasing.
    """

    sign: Tensor
    thresholds: Tensor

    def __init__(self, channels: int, n: int) -> None:
        super().__init__()
        self.register_buffer("sign", torch.ones(channels))
        self.register_buffer("thresholds", torch.zeros(channels, n))
        self.signed = False

    def refresh(self) -> None:
        self.signed = bool((self.sign != 1).any())

    def datatypes(self) -> Mapping[str, str]:
        return {"ReduceSum_out": f"UINT{self.thresholds.shape[1].bit_length()}"}

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"ReduceSum_out": Boundary(self)}

    def check_values(self, name: str) -> None:
        check_thresholds(name, self.sign, self.thresholds)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) INT8 codes -> (N, C, H, W) level codes 0..N."""
        if self.signed:
            x = x * self.sign.view(-1, 1, 1)
        channels, n = self.thresholds.shape
        reached = x.unsqueeze(2) >= self.thresholds.view(channels, n, 1, 1)
        return reached.to(x.dtype).sum(2)


class IntegerPaConv(Mirrored):
    """PA activation, then a convolution of codebook values.

    Buffers ``weight`` (C_out, C_in, k, k) of codes, ``alpha`` (M+1,), ``beta`` (N+1,).
    """

    weight: Tensor
    alpha: Tensor
    beta: Tensor
    values: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, m: int, n: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.border = kernel // 2
        self.activation = IntegerPaActivation(in_channels, n)
        shape = (out_channels, in_channels, kernel, kernel)
        self.register_buffer("weight", torch.zeros(shape))
        self.register_buffer("alpha", torch.zeros(m + 1))
        self.register_buffer("beta", torch.zeros(n + 1))
        self.register_buffer("values", torch.zeros(shape), persistent=False)

    def refresh(self) -> None:
        index = (self.weight + len(self.alpha) // 2).to(torch.int64)
        # A damaged checkpoint gets its message from ``check_values``, not from this lookup.
        self.values.copy_(self.alpha[index.clamp(0, len(self.alpha) - 1)])

    def accumulator_ends(self) -> IntArray:
        """Return the (2, C_out) smallest and largest accumulators."""
        return accumulator_ends(self.values, 0, int(self.beta.max()))

    def datatypes(self) -> Mapping[str, str]:
        return {
            "Gather_in0": "UINT8", "Gather_out": "UINT8", "Conv_in1": "INT8", "Conv_out": "INT32",
        }  # fmt: skip

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"Conv_out": Boundary(self)}

    def check_values(self, name: str) -> None:
        check_codebooks(name, self.weight, self.alpha, self.beta)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) INT8 codes -> (N, C_out, H', W') accumulators."""
        level = _look_up(self.beta, self.activation(x).to(torch.int64))
        return F.conv2d(level, self.values, stride=self.stride, padding=self.border)


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return ``table[index]``; exports as one Gather, where indexing would give GatherND."""
    if torch.compiler.is_exporting():
        return torch.onnx.ops.symbolic(
            "Gather", (table, index), {"axis": 0}, dtype=table.dtype, shape=index.shape
        )
    return table.index_select(0, index.flatten()).view(index.shape)

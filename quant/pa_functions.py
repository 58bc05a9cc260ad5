# SPDX-License-Identifier: Apache-2.0
"""Piecewise approximation (PA): weight and activation quantisers with their surrogate gradients.

A weight takes one of M+1 values alpha, an activation one of N+1 values beta; both are integers
times a power of two, so the sums of their products are integers. Where values jump in the forward
pass, the backward pass sees a continuous, piecewise linear surrogate. Equation numbers are those of
the PA-Net paper, with t_0 and the sign of dC/dv corrected:

* weights (eq 6-8): endpoints ``u_i = c_i * std(W)``, half-open pieces ``[u_i, u_i+1)``, alpha = the
  mean of the weights in a piece, 0 in the middle piece. Surrogate: slope
  ``lambda_W * (alpha_i - alpha_i-1)`` between the midpoints around u_i.
* activations (eq 10-14): trainable endpoints ``v_1 < ... < v_N``, ``A in [v_i, v_i+1) -> beta_i``,
  0 below v_1. With ``t_i = (v_i + v_i+1) / 2``, ``t_0 = 2 v_1 - t_1``, ``t_N = v_N + step``:
  dA = ``lambda_A (beta_i - beta_i-1)`` on ``[t_i-1, t_i)``, 0 outside; dv_i = minus the sum of that
  gradient over the same interval; dbeta_i = the sum of the upstream gradient over piece i.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from .functions import STREAM_FRAC, STREAM_MAX, STREAM_MIN
from .grid import snap

Levels = Literal["free", "linear"]

M_RANGE = range(2, 15, 2)
N_RANGE = range(1, 16)
BITS_RANGE = range(4, 9)

ENDPOINTS = {
    2: (0.625,),
    4: (0.375, 1.25),
    6: (0.25, 0.875, 1.625),
    8: (0.25, 0.5, 1.0, 1.5),
    10: (0.1875, 0.5625, 0.9375, 1.4375, 2.0625),
    12: (0.1875, 0.5, 0.8125, 1.1875, 1.625, 2.1875),
    14: (0.125, 0.4375, 0.6875, 1.0, 1.375, 1.75, 2.3125),
}
"""c_i of the positive endpoints. M = 8 is the paper's; the others, which it does not give, are the
endpoints of the Lloyd-Max quantiser of a unit Gaussian with M+1 levels, rounded to 1/16."""

UNIFORM_STEP = {2: 1.224, 4: 0.8430, 6: 0.6508, 8: 0.5338, 10: 0.4546, 12: 0.3972, 14: 0.3534}
"""Step of the best uniform quantiser of a unit Gaussian with M+1 levels (Max 1960, table II)."""

MAX_SLOPE = 2.0
"""Largest slope of the weights' surrogate."""
BETA_FRAC_MAX = 8
ACC_FRAC_MAX = 18
"""Fraction bits of alpha plus those of beta: the aligned shortcut stays within 2**21. They are at
least those of the stream, so that the accumulator needs no left shift."""

CODES = STREAM_MAX - STREAM_MIN + 1
THRESHOLD_MIN, THRESHOLD_MAX = -STREAM_MAX - 1, -STREAM_MIN + 1
"""Always reached and never reached by ``sign * code``."""


@dataclass(frozen=True)
class PaSpec:
    """Constants of one PA layer that its arguments decide.

    Attributes:
        m: number of weight endpoints, even.
        n: number of activation endpoints.
        levels: ``free`` alphas and betas, or ``linear``: the codes themselves times a power of two.
        bits: width of a coefficient; alpha is signed and narrow, beta unsigned.

    Raises:
        ValueError: a value outside its range.
    """

    m: int = 4
    n: int = 5
    levels: Levels = "free"
    bits: int = 8

    def __post_init__(self) -> None:
        for name, found, allowed, words in (
            ("M", self.m, M_RANGE, "an even number from 2 to 14"),
            ("N", self.n, N_RANGE, "a number from 1 to 15"),
            ("levels", self.levels, ("free", "linear"), "free or linear"),
            ("coefficient_bits", self.bits, BITS_RANGE, "a number from 4 to 8"),
        ):
            if found not in allowed:
                raise ValueError(f"PA layer: found {name} {found}, expected {words}")

    @property
    def alpha_max(self) -> int:
        """Largest |alpha| as an integer."""
        return (1 << (self.bits - 1)) - 1

    @property
    def beta_max(self) -> int:
        """Largest beta as an integer."""
        return (1 << self.bits) - 1

    @property
    def step(self) -> float:
        """Initial distance of the activation's endpoints and levels; 0.4 at N = 5."""
        return 2.2 / (self.n + 0.5)


def fraction_bits(largest: float, limit: int, low: int, high: int) -> int:
    """Return the finest f in low..high with round(largest * 2**f) <= limit (or low)."""
    if not (largest > 0.0 and math.isfinite(largest)):
        return high
    return min(max(math.ceil(math.log2((limit + 0.5) / largest)) - 1, low), high)


# Weights -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PaWeights:
    """Quantised weights of one layer.

    Attributes:
        index: piece of every weight, int64 0..M, shaped as the weights; code = index - M/2.
        alpha: (M+1,) float64 integers, 0 at M/2.
        frac: fraction bits of alpha.
        middles: (M-1,) float64 midpoints s_i between the endpoints.
        slopes: (M,) float64 slopes of the surrogate between them.
    """

    index: Tensor
    alpha: Tensor
    frac: int
    middles: Tensor
    slopes: Tensor


def quantise_weight(weight: Tensor, spec: PaSpec, beta_frac: int) -> PaWeights:
    """Quantise latent weights (eq 6, 7); the one place where it is done.

    Statistics run in float64, so that the order of summation cannot move a weight.

    Args:
        weight: latent weights, any shape.
        spec: constants of the layer.
        beta_frac: fraction bits of the activations' levels; alpha's leave room for them.
    """
    w = weight.detach().double().contiguous()
    std = float(w.std(correction=0))
    low, high = max(0, STREAM_FRAC - beta_frac), ACC_FRAC_MAX - beta_frac
    if spec.levels == "linear":
        exponent = math.log2(UNIFORM_STEP[spec.m] * std) if std > 0 else -high
        frac = min(max(-round(exponent), low), high)
        half = [(k + 0.5) * 2.0**-frac for k in range(spec.m // 2)]
    else:
        half = [c * std for c in ENDPOINTS[spec.m]]
    u = torch.tensor([-e for e in reversed(half)] + half, dtype=w.dtype, device=w.device)
    index = torch.bucketize(w, u, right=True)
    if spec.levels == "linear":
        alpha = torch.arange(spec.m + 1, dtype=w.dtype, device=w.device) - spec.m // 2
    else:
        flat, pieces = index.flatten(), spec.m + 1
        count = torch.bincount(flat, minlength=pieces).clamp_(min=1)
        mean = torch.bincount(flat, w.flatten(), minlength=pieces) / count
        mean[spec.m // 2] = 0.0
        frac = fraction_bits(float(mean.abs().max()), spec.alpha_max, low, high)
        alpha = snap(mean, frac, -spec.alpha_max, spec.alpha_max)
    middles = (u[1:] + u[:-1]) / 2
    # Mean length of the inner intervals; M = 2 has none and takes the distance of its endpoints.
    span = float(middles[-1] - middles[0]) / (spec.m - 2) if spec.m > 2 else float(u[1] - u[0])
    scale = 2.0**-frac / span if span > 0 else 0.0
    slopes = (alpha.diff() * scale).clamp_(0.0, MAX_SLOPE)
    return PaWeights(index, alpha, frac, middles, slopes)


class _PaWeight(torch.autograd.Function):
    """alpha of every weight's piece; gradient times the slope of the surrogate (eq 8)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, quantised: PaWeights) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.quantised = quantised
        values = quantised.alpha.to(weight.dtype) * 2.0**-quantised.frac
        return torch.empty_like(weight).copy_(values[quantised.index])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        interval = torch.bucketize(weight.double().contiguous(), ctx.quantised.middles, right=True)
        return grads[0] * ctx.quantised.slopes.to(weight.dtype)[interval], None


def pa_weight(weight: Tensor, spec: PaSpec, beta_frac: int) -> tuple[Tensor, int]:
    """Return the quantised values of latent weights and their fraction bits.

    Args:
        weight: latent weights, any shape.
        spec: constants of the layer.
        beta_frac: see quantise_weight.
    """
    quantised = quantise_weight(weight, spec, beta_frac)
    out: Tensor = _PaWeight.apply(weight, quantised)
    return out, quantised.frac


# Activations -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Surrogate:
    """Surrogate of an activation: ``slopes[j]`` between ``edges[j-1]`` and ``edges[j]``.

    Attributes:
        edges: (N+1,) float64 t_0..t_N.
        slopes: (N+2,) float64, 0 at both ends.
    """

    edges: Tensor
    slopes: Tensor


def surrogate(endpoints: Tensor, levels: Tensor, step: float) -> Surrogate:
    """Return the surrogate (eq 11, 12 corrected) with lambda_A = 1/step and lambda_Delta = step.

    Args:
        endpoints: (N,) increasing.
        levels: (N,) snapped.
        step: initial distance of the endpoints.
    """
    v = endpoints.detach().double()
    rise = levels.detach().double().diff(prepend=levels.new_zeros(1, dtype=torch.float64))
    upper = torch.cat(((v[1:] + v[:-1]) / 2, v[-1:] + step))
    edges = torch.cat((2 * v[:1] - upper[:1], upper))
    return Surrogate(edges, torch.nn.functional.pad(rise / step, (1, 1)))


def _sums(index: Tensor, values: Tensor, count: int) -> Tensor:
    """Return (count,) sums of ``values`` over equal ``index``."""
    return torch.bincount(index.flatten(), values.flatten(), minlength=count)


class _PaAct(torch.autograd.Function):
    """beta of every activation's piece (eq 10) with the gradients of eq 11, 13, 14."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, endpoints: Tensor, levels: Tensor, step: float) -> Tensor:
        piece = torch.bucketize(a.double(), endpoints.double(), right=True)
        ctx.save_for_backward(a, piece, endpoints, levels)
        ctx.step = step
        return torch.nn.functional.pad(levels, (1, 0)).to(a.dtype)[piece]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        a, piece, endpoints, levels = ctx.saved_tensors
        n = len(endpoints)
        way = surrogate(endpoints, levels, ctx.step)
        interval = torch.bucketize(a.double(), way.edges, right=True)
        g_a = grads[0] * way.slopes.to(a.dtype)[interval]
        share = math.sqrt(n / a.numel())
        g_v = -_sums(interval, g_a, n + 2)[1:-1] * share
        g_levels = _sums(piece, grads[0], n + 1)[1:] * share
        return g_a, g_v.to(endpoints.dtype), g_levels.to(levels.dtype), None


def pa_act(a: Tensor, endpoints: Tensor, levels: Tensor, step: float) -> Tensor:
    """Quantise real activations.

    Args:
        a: activations, any shape.
        endpoints: (N,) increasing; compared with ``a`` in float64.
        levels: (N,) snapped.
        step: sets the surrogate, see there.

    Returns:
        0 or the level of each piece. The gradients of endpoints and levels are divided by
        sqrt(numel / N), as each sums over so many elements.
    """
    out: Tensor = _PaAct.apply(a, endpoints, levels, step)
    return out


# BN and activation of an INT8 stream, by tables --------------------------------------------------


def stream_index(x: Tensor) -> Tensor:
    """Return ``256 * channel + code + 128`` of an (N, C, H, W) INT8 stream, int32, channels last.

    A function of one code per channel is then a table lookup, and a sum over all elements of equal
    channel and code a histogram: both several times as fast as N comparisons per element.
    """
    offset = torch.arange(x.shape[1], device=x.device, dtype=x.dtype) * CODES - STREAM_MIN
    last = x.detach().permute(0, 2, 3, 1)
    index = torch.add(offset, last, alpha=2.0**STREAM_FRAC).to(torch.int32).flatten()
    if int(index.min()) < 0:
        raise ValueError(
            "PA activation: found NaN in its input, expected a stream; lower the learning rate"
        )
    return index


def stream_statistics(index: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Return exact float64 mean and biased variance (C,) of a stream from its ``stream_index``."""
    count = torch.bincount(index, minlength=channels * CODES).view(channels, CODES).double()
    value = _code_values(index.device)
    total = count.sum(1)
    mean = (count * value).sum(1) / total
    return mean, (count * value * value).sum(1) / total - mean * mean


def _code_values(device: torch.device) -> Tensor:
    """Return the (256,) float64 values of the INT8 codes."""
    codes = torch.arange(STREAM_MIN, STREAM_MAX + 1, device=device, dtype=torch.float64)
    return codes * 2.0**-STREAM_FRAC


@dataclass(frozen=True)
class PaThresholds:
    """BN and endpoints folded: code = #{i: sign * x >= thresholds_i} for stream codes x.

    Attributes:
        sign: (C,) float64 -1, 0 or +1.
        thresholds: (C, N) float64 integers, non-decreasing.
    """

    sign: Tensor
    thresholds: Tensor


def fold_thresholds(
    gamma: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float, endpoints: Tensor
) -> PaThresholds:
    """Fold BN and endpoints into integer thresholds, in float64; the one place where it is done.

    ``gamma (x - mean) / sigma + bias >= v`` holds from ``x = mean + (v - bias) sigma / gamma`` up,
    or down where gamma is negative; it is a constant where gamma is 0.

    Args:
        gamma: (C,) BN scale.
        bias: (C,) BN bias.
        mean: (C,) mean of the stream.
        var: (C,) its variance.
        eps: added to the variance.
        endpoints: (N,) increasing.
    """
    scale = (gamma.double() * (var.double() + eps).rsqrt()).view(-1, 1)
    distance = endpoints.double() - bias.double().view(-1, 1)
    sign = scale.sign()
    at = mean.double().view(-1, 1) + distance / torch.where(scale == 0, 1.0, scale)
    found = torch.ceil(sign * at * 2.0**STREAM_FRAC)
    constant = (distance > 0).to(found.dtype)
    thresholds = torch.where(scale == 0, constant, found).clamp(THRESHOLD_MIN, THRESHOLD_MAX)
    return PaThresholds(sign.view(-1), thresholds)


def code_table(folded: PaThresholds) -> Tensor:
    """Return the level code, int64 (C, 256), of every INT8 code -128..127."""
    codes = torch.arange(STREAM_MIN, STREAM_MAX + 1, device=folded.sign.device)
    signed = folded.sign.view(-1, 1) * codes
    return (signed.unsqueeze(1) >= folded.thresholds.unsqueeze(2)).sum(1)


class _PaStream(torch.autograd.Function):
    """BN and PA activation of an INT8 stream, forward and backward through tables."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        index: Tensor,
        gamma: Tensor,
        bias: Tensor,
        endpoints: Tensor,
        levels: Tensor,
        mean: Tensor,
        var: Tensor,
        eps: float,
        step: float,
        from_batch: bool,
    ) -> Tensor:
        codes = code_table(fold_thresholds(gamma, bias, mean, var, eps, endpoints))
        values = torch.nn.functional.pad(levels, (1, 0)).to(x.dtype)[codes]
        ctx.save_for_backward(index, codes, gamma, bias, endpoints, levels, mean, var)
        ctx.eps, ctx.step, ctx.from_batch = eps, step, from_batch
        return _lookup(values, index, x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        index, codes, gamma, bias, endpoints, levels, mean, var = ctx.saved_tensors
        n, channels, g = len(endpoints), len(gamma), grads[0]
        last = g.permute(0, 2, 3, 1).flatten()
        # Everything but the stream's own gradient depends on these sums alone.
        upstream = _sums(index, last, channels * CODES).view(channels, CODES).double()
        rstd = (var.double() + ctx.eps).rsqrt().view(-1, 1)
        normal = (_code_values(g.device) - mean.double().view(-1, 1)) * rstd
        scale = gamma.double().view(-1, 1)
        way = surrogate(endpoints, levels, ctx.step)
        interval = torch.bucketize(
            normal * scale + bias.double().view(-1, 1), way.edges, right=True
        )
        slope = way.slopes[interval]
        g_a = upstream * slope
        g_bias = g_a.sum(1, keepdim=True)
        g_gamma = (g_a * normal).sum(1, keepdim=True)
        share = math.sqrt(n / g.numel())
        g_v = -_sums(interval, g_a, n + 2)[1:-1] * share
        g_levels = _sums(codes, upstream, n + 1)[1:] * share
        g_x = None
        if ctx.needs_input_grad[0]:
            factor = _lookup((slope * scale * rstd).to(g.dtype), index, g.shape)
            if ctx.from_batch:
                count = g.numel() // channels
                pull = (g_bias + normal * g_gamma) * (scale * rstd) / -count
                g_x = torch.addcmul(_lookup(pull.to(g.dtype), index, g.shape), factor, g)
            else:
                g_x = factor.mul_(g)
        return (
            g_x, None, g_gamma.view(-1).to(gamma.dtype), g_bias.view(-1).to(bias.dtype),
            g_v.to(endpoints.dtype), g_levels.to(levels.dtype), None, None, None, None, None,
        )  # fmt: skip


def _lookup(table: Tensor, index: Tensor, shape: torch.Size) -> Tensor:
    """Return (N, C, H, W) entries of a (C, 256) table, in channels-last memory."""
    n, c, h, w = shape
    found = table.flatten().index_select(0, index)
    return found.view(n, h, w, c).permute(0, 3, 1, 2)


def pa_stream(
    x: Tensor,
    index: Tensor,
    gamma: Tensor,
    bias: Tensor,
    endpoints: Tensor,
    levels: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    step: float,
    from_batch: bool,
) -> Tensor:
    """Apply BN and the PA activation to an INT8 stream; equals ``pa_act`` after BN in gradient.

    Args:
        x: (N, C, H, W) stream: INT8 codes times 2**-4.
        index: its ``stream_index``.
        gamma: (C,) BN scale.
        bias: (C,) BN bias.
        endpoints: (N,) increasing.
        levels: (N,) snapped.
        mean: (C,) statistics of ``x``; differentiated through when ``from_batch``.
        var: (C,) biased variance of ``x``.
        eps: added to the variance.
        step: sets the surrogate, see there.
        from_batch: True when mean and var were computed from this very ``x``.

    Returns:
        (N, C, H, W) values 0 or levels, decided by ``fold_thresholds``.
    """
    out: Tensor = _PaStream.apply(
        x, index, gamma, bias, endpoints, levels, mean, var, eps, step, from_batch
    )
    return out


# Residual ----------------------------------------------------------------------------------------


class _Residual(torch.autograd.Function):
    """INT8 stream of accumulator plus shortcut; the gradient stops where the output saturates."""

    @staticmethod
    def forward(ctx: Any, acc: Tensor, shortcut: Tensor | None) -> Tensor:
        total = acc.mul(2.0**STREAM_FRAC)
        if shortcut is not None:
            total.add_(shortcut, alpha=2.0**STREAM_FRAC)
        out = total.add_(0.5).floor_().clamp_(STREAM_MIN, STREAM_MAX).mul_(2.0**-STREAM_FRAC)
        ctx.save_for_backward(out)
        ctx.has_shortcut = shortcut is not None
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        (out,) = ctx.saved_tensors
        low, high = STREAM_MIN * 2.0**-STREAM_FRAC, STREAM_MAX * 2.0**-STREAM_FRAC
        g = torch.ops.aten.hardtanh_backward(grads[0], out, low, high)
        return g, g if ctx.has_shortcut else None


def residual(acc: Tensor, shortcut: Tensor | None) -> Tensor:
    """Return requantise(acc + shortcut) on the INT8 stream.

    Args:
        acc: (N, C, H, W) accumulators, values.
        shortcut: (N, C, H, W) stream, or None.
    """
    out: Tensor = _Residual.apply(acc, shortcut)
    return out


# Bases -------------------------------------------------------------------------------------------


def bases(codes: Tensor, low: int, high: int, nested: bool = False) -> Tensor:
    """Return the {0, 1} bases of codes, one for each code of low..high but 0.

    Args:
        codes: integers low..high, any shape; weights have low = -M/2, activations low = 0.
        low: smallest code, at most 0.
        high: largest code.
        nested: thermometer bases (code reaches k, going away from 0) in place of disjoint ones
            (code equals k; the paper's T_i and V_j).

    Returns:
        (high - low, ...) int64 bits, in ascending order of k.
    """

    def basis(k: int) -> Tensor:
        if not nested:
            return codes == k
        return codes >= k if k > 0 else codes <= k

    return torch.stack([basis(k) for k in range(low, high + 1) if k]).to(torch.int64)


def base_coefficients(table: Tensor, zero: int, nested: bool = False) -> Tensor:
    """Return the coefficient of each of ``bases``, so that sum(coefficient * basis) = value.

    Args:
        table: (codes,) values, ``table[zero]`` = 0: alpha or beta.
        zero: index of code 0.
        nested: coefficients are then the differences to the next code towards 0.
    """
    inner = torch.cat((table[1 : zero + 1], table[zero:-1])) if nested else 0
    return torch.cat((table[:zero], table[zero + 1 :])) - inner

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

from ..grid import snap
from .functions import STREAM_FRAC, STREAM_MAX, STREAM_MIN

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


def sums_by(index: Tensor, values: Tensor, count: int) -> Tensor:
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
        g_v = -sums_by(interval, g_a, n + 2)[1:-1] * share
        g_levels = sums_by(piece, grads[0], n + 1)[1:] * share
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

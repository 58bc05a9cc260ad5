# SPDX-License-Identifier: Apache-2.0
"""Fused autograd functions of the binary blocks: values on the integer grids, straight-through
gradients.

Each function computes in one hand-written pass what a composition of autograd operations would
give, at little more than half the time; the tests compare both in float64. Forward values are
always exactly those of ``quant/grid.py``; gradients ignore rounding (straight-through).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..grid import limits, snap

STREAM_FRAC = 4
"""Fraction bits of the INT8 residual streams of the whole network."""
GUARD = 4
"""Extra fraction bits of the pre-activation."""
PRE_FRAC = STREAM_FRAC + GUARD
PRE_BITS = 14
ACC_BITS = 16
"""Accumulators of layers with fixed-point weights are rounded to this width before BN."""
SLOPE_FRAC = 6
SLOPE_MAX = 127
STREAM_MIN, STREAM_MAX = -128, 127
M_MAX = 511
"""Largest BN multiplier (10 bits signed)."""
B_MAX = 1 << 22
"""Largest BN bias on the grid of acc*m; with the limits below every sum stays within 2**24."""
PRODUCT_MAX = 1 << 23
"""Largest |acc*m|: lowers the limit of m where the accumulator is wide."""
W_MIN, W_MAX = PRE_FRAC, 18
"""Fraction bits of acc*m: at least those of the pre-activation (no left shift in hardware), at
most 18 so that the shifted shortcut stays below 2**22."""

BN_MOMENTUM = 0.1
"""Share of the batch in running statistics."""

LARGE = 1 << 19
"""Elements from which a sum over pixels is worth two calls."""


def per_channel(v: Tensor, like: Tensor) -> Tensor:
    """Reshape a per-channel vector for broadcasting against NCHW."""
    return v.to(like.dtype).view(1, -1, 1, 1)


def channel_sums(x: Tensor) -> Tensor:
    """Sum (N, C, H, W) into (C,)."""
    if x.numel() < LARGE:
        return x.sum((0, 2, 3))
    # Channels last, a row of a picture is W*C neighbours; PyTorch adds rows of 24 numbers six
    # times slower than rows of 768.
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n * h, w * c).sum(0).view(w, c).sum(0)


class _Rounded(torch.autograd.Function):
    """``grid.snap`` as a value on the grid, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frac_bits: int, low: float, high: float) -> Tensor:
        return snap(x, frac_bits, low, high).mul_(2.0**-frac_bits)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return grads[0], None, None, None


def round_to_grid(x: Tensor, frac_bits: int, low: float, high: float) -> Tensor:
    """Snap to the grid 2**-frac_bits with codes in low..high, straight-through gradient.

    Args:
        x: any shape.
        frac_bits: fraction bits, may be negative.
        low: smallest code.
        high: largest code.
    """
    out: Tensor = _Rounded.apply(x, frac_bits, low, high)
    return out


class _BinaryWeight(torch.autograd.Function):
    """sign(w) with +1 at 0; gradient where |w| <= 1."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        # Comparing straight into a float tensor avoids a bool tensor, six times as slow.
        return torch.ge(w, 0.0, out=torch.empty_like(w)).mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (w,) = ctx.saved_tensors
        size = w.abs()
        return torch.le(size, 1.0, out=size).mul_(grads[0])


def binary_weight(w: Tensor) -> Tensor:
    """Return the +-1 weights of latent ``w``: +1 at 0, clipped straight-through gradient."""
    out: Tensor = _BinaryWeight.apply(w)
    return out


def snap_threshold(gamma: Tensor) -> Tensor:
    """Return RSign's threshold snapped to the grid of the INT8 streams (value, not code)."""
    return snap(gamma, STREAM_FRAC, STREAM_MIN, STREAM_MAX) * 2.0**-STREAM_FRAC


class _RSignBit(torch.autograd.Function):
    """(x >= gamma) as 0/1; quadratic sign surrogate, halved because 0/1 is half of -1/+1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor) -> Tensor:
        snapped = per_channel(snap_threshold(gamma), x)
        ctx.save_for_backward(x, snapped)
        return torch.ge(x, snapped, out=torch.empty_like(x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, snapped = ctx.saved_tensors
        distance = x - snapped
        inside = torch.ops.aten.hardtanh_backward(grads[0], distance, -1.0, 1.0)
        gx = inside.addcmul_(inside, distance.abs_(), value=-1.0)
        return gx, -channel_sums(gx)


def rsign_bit(x: Tensor, gamma: Tensor) -> Tensor:
    """RSign as a bit.

    Args:
        x: (N, C, H, W) stream.
        gamma: (C,) latent thresholds, snapped here.

    Returns:
        1 where ``x >= gamma`` (meaning +1), else 0 (meaning -1). The gradient is that of the
        piecewise quadratic estimator, d sign/dx = 2 - 2|x - gamma| inside |x - gamma| < 1.
    """
    out: Tensor = _RSignBit.apply(x, gamma)
    return out


@dataclass(frozen=True)
class EpilogueSpec:
    """Constants of one epilogue that shapes decide.

    Attributes:
        eps: added to the variance of the accumulator.
        acc_frac: fraction bits of the accumulator as the epilogue sees it (after its rounding);
            negative when it was rounded to a grid coarser than 1.
        acc_limit: largest magnitude of that accumulator in integer units, from shapes.
    """

    eps: float
    acc_frac: int
    acc_limit: int

    @property
    def m_limit(self) -> int:
        """Largest |m| that keeps acc*m within PRODUCT_MAX for any weights."""
        return min(M_MAX, PRODUCT_MAX // self.acc_limit)


@dataclass(frozen=True)
class EpilogueIntegers:
    """The integers of one epilogue as float tensors (C,), and the exponent of m."""

    m: Tensor
    b: Tensor
    zeta: Tensor
    slope: Tensor
    eta: Tensor
    m_frac: int


def snap_epilogue(
    multiplier: Tensor,
    beta: Tensor,
    mean: Tensor,
    zeta: Tensor,
    slope: Tensor,
    eta: Tensor,
    spec: EpilogueSpec,
) -> EpilogueIntegers:
    """Snap BN and RPReLU to integers; the one place where they are made.

    Args:
        multiplier: (C,) gamma / sqrt(var + eps).
        beta: (C,) BN's bias.
        mean: (C,) mean of the accumulator.
        zeta: (C,) RPReLU's input shift.
        slope: (C,) RPReLU's slope.
        eta: (C,) RPReLU's output shift.
        spec: see EpilogueSpec.

    Returns:
        Integers; one exponent per layer, the finest that keeps every |m| within its limit.
    """
    largest = float(multiplier.detach().abs().max())
    low, high = W_MIN - spec.acc_frac, W_MAX - spec.acc_frac
    m_frac = high
    if largest > 0.0 and math.isfinite(largest):
        m_frac = min(max(math.floor(math.log2(spec.m_limit / largest)), low), high)
    m = snap(multiplier, m_frac, -spec.m_limit, spec.m_limit)
    offset = beta - mean * (m * 2.0**-m_frac)
    pre_limits = limits(PRE_BITS)
    return EpilogueIntegers(
        m=m,
        b=snap(offset, spec.acc_frac + m_frac, -B_MAX, B_MAX),
        zeta=snap(zeta, PRE_FRAC, *pre_limits),
        slope=snap(slope, SLOPE_FRAC, 0, SLOPE_MAX),
        eta=snap(eta, PRE_FRAC, *pre_limits),
        m_frac=m_frac,
    )


def batch_statistics(acc: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance (C,) of (N, C, H, W).

    E[x^2] - E[x]^2 saves a pass; what float32 loses in it is far below eps.
    """
    count = acc.numel() // acc.shape[1]
    mean = channel_sums(acc) / count
    var = channel_sums(acc * acc) / count - mean * mean
    return mean, var.clamp_(min=0.0)


class _Epilogue(torch.autograd.Function):
    """BN -> + shortcut -> RPReLU -> INT8 in grid units, one function for all statistics."""

    @staticmethod
    def forward(
        ctx: Any,
        acc: Tensor,
        shortcut: Tensor | None,
        gamma: Tensor,
        beta: Tensor,
        zeta: Tensor,
        slope: Tensor,
        eta: Tensor,
        mean: Tensor,
        var: Tensor,
        spec: EpilogueSpec,
        from_batch: bool,
    ) -> Tensor:
        rstd = (var + spec.eps).rsqrt()
        k = snap_epilogue(gamma * rstd, beta, mean, zeta, slope, eta, spec)
        pre = 2.0**PRE_FRAC
        limit = float(1 << (PRE_BITS - 1))
        snapped_m = k.m * 2.0**-k.m_frac
        bias = k.b * 2.0 ** (PRE_FRAC - spec.acc_frac - k.m_frac) + 0.5
        t = torch.addcmul(per_channel(bias, acc), acc, per_channel(snapped_m * pre, acc))
        if shortcut is not None:
            t.add_(shortcut, alpha=pre)
        u = t.floor_().clamp_(-limit, limit - 1).sub_(per_channel(k.zeta, acc))
        real_slope = per_channel(k.slope * 2.0**-SLOPE_FRAC, acc)
        v = torch.nn.functional.prelu(u, real_slope.view(-1))
        # The slope's floor needs no pass of its own: floor((floor(v) + n) / d) = floor((v + n) / d)
        # for whole n and d.
        shift = (per_channel(k.eta, acc) + 2.0 ** (GUARD - 1)) * 2.0**-GUARD
        out = torch.add(shift, v, alpha=2.0**-GUARD, out=v).floor_()
        out.clamp_(STREAM_MIN, STREAM_MAX).mul_(2.0**-STREAM_FRAC)
        ctx.save_for_backward(acc, u, out, real_slope, snapped_m, gamma, mean, rstd)
        ctx.from_batch = from_batch
        ctx.has_shortcut = shortcut is not None
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        acc, u, out, slope, snapped_m, gamma, mean, rstd = ctx.saved_tensors
        g = torch.ops.aten.hardtanh_backward(
            grads[0], out, STREAM_MIN * 2.0**-STREAM_FRAC, STREAM_MAX * 2.0**-STREAM_FRAC
        )
        g_eta = channel_sums(g)
        # u is an integer, so u < -1/2 says u < 0: g there, else 0.
        negative = torch.ops.aten.hardtanh_backward(g, u, -math.inf, -0.5)
        # g where u >= 0, else slope * g.
        gu = torch.addcmul(g, negative, slope - 1.0)
        g_slope = channel_sums(negative.mul_(u)) * 2.0**-PRE_FRAC
        g_bias = channel_sums(gu)
        g_multiplier = channel_sums(torch.mul(gu, acc, out=g)) - mean * g_bias
        g_acc = None
        if ctx.needs_input_grad[0]:
            scale = per_channel(snapped_m, acc)
            if ctx.from_batch:
                count = acc.numel() // acc.shape[1]
                linear = g_multiplier * gamma * rstd.pow(3) * (-1.0 / count)
                constant = torch.addcmul(snapped_m * g_bias / -count, linear, mean, value=-1.0)
                # g's memory serves once more.
                constant, linear = per_channel(constant, acc), per_channel(linear, acc)
                g_acc = torch.addcmul(constant, acc, linear, out=g)
                g_acc.addcmul_(gu, scale)
            else:
                g_acc = gu * scale
        g_shortcut = gu if ctx.has_shortcut else None
        g_gamma = g_multiplier * rstd
        return (
            g_acc, g_shortcut, g_gamma, g_bias, -g_bias, g_slope, g_eta, None, None, None, None,
        )  # fmt: skip


def fused_epilogue(
    acc: Tensor,
    shortcut: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    zeta: Tensor,
    slope: Tensor,
    eta: Tensor,
    mean: Tensor,
    var: Tensor,
    spec: EpilogueSpec,
    from_batch: bool,
) -> Tensor:
    """Apply the epilogue with snapped parameters.

    Args:
        acc: (N, C, H, W) accumulators on the grid 2**-spec.acc_frac.
        shortcut: (N, C, H, W) stream on the grid 2**-4, or None.
        gamma: (C,) BN scale.
        beta: (C,) BN bias.
        zeta: (C,) RPReLU input shift.
        slope: (C,) RPReLU slope.
        eta: (C,) RPReLU output shift.
        mean: (C,) statistics of ``acc``; differentiated through when ``from_batch``.
        var: (C,) biased variance of ``acc``.
        spec: constants of the layer.
        from_batch: True when mean and var were computed from this very ``acc``.

    Returns:
        (N, C, H, W) stream: INT8 codes times 2**-4. Gradients pass straight through every
        rounding and the saturation of the pre-activation, and stop where the output saturates.
    """
    out: Tensor = _Epilogue.apply(
        acc, shortcut, gamma, beta, zeta, slope, eta, mean, var, spec, from_batch
    )
    return out

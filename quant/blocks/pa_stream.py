# SPDX-License-Identifier: Apache-2.0
"""BN and PA activation of an INT8 stream by tables of its 256 codes, forward and backward."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .functions import STREAM_FRAC, STREAM_MAX, STREAM_MIN
from .pa_functions import sums_by, surrogate

CODES = STREAM_MAX - STREAM_MIN + 1
THRESHOLD_MIN, THRESHOLD_MAX = -STREAM_MAX - 1, -STREAM_MIN + 1
"""Always reached and never reached by ``sign * code``."""


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
        upstream = sums_by(index, last, channels * CODES).view(channels, CODES).double()
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
        g_v = -sums_by(interval, g_a, n + 2)[1:-1] * share
        g_levels = sums_by(codes, upstream, n + 1)[1:] * share
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

# SPDX-License-Identifier: Apache-2.0
"""Fused autograd function of the k-bit activation: BN -> RSiLU -> clip -> quantiser.

Streams of k-bit networks hold level codes 0..L, L = 2^k - 1, standing for code / L. With U-BiNet's
equation numbers: RSiLU(x) = (x - zeta) * sigmoid(x - zeta) + eta (6), a_q = round(L a) / L (4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .functions import channel_sums, per_channel

WIDEST_CODE = 16
"""Widest codes; with more bits the activation has neither clip nor quantiser."""


def top_level(k: int) -> int:
    """Return L, what the stream counts as 1: 2^k - 1, or 1 where nothing is quantised."""
    return (1 << k) - 1 if k <= WIDEST_CODE else 1


@dataclass(frozen=True)
class KbitSpec:
    """Constants of one activation.

    Attributes:
        eps: added to the variance of the accumulator.
        k: bits of the codes; more than 16 leave the values as they are.
    """

    eps: float
    k: int

    @property
    def top(self) -> int:
        """L, see ``top_level``."""
        return top_level(self.k)

    @property
    def quantised(self) -> bool:
        """False where the activation has neither clip nor quantiser."""
        return self.k <= WIDEST_CODE


def _response(
    acc: Tensor, scale: Tensor, offset: Tensor, eta: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return z and the response before the clip; the same tensor twice without RSiLU."""
    z = torch.addcmul(per_channel(offset, acc), acc, per_channel(scale, acc))
    if eta is None:
        return z, z
    return z, torch.nn.functional.silu(z).add_(per_channel(eta, acc))


class _KbitActivation(torch.autograd.Function):
    """Level codes of accumulators; the gradient is that of the clipped RSiLU, times L."""

    @staticmethod
    def forward(
        ctx: Any,
        acc: Tensor,
        gamma: Tensor,
        beta: Tensor,
        zeta: Tensor | None,
        eta: Tensor | None,
        mean: Tensor,
        var: Tensor,
        spec: KbitSpec,
        from_batch: bool,
        codes: Tensor | None,
    ) -> Tensor:
        rstd = (var + spec.eps).rsqrt()
        scale = gamma * rstd
        offset = beta - mean * scale
        if zeta is not None:
            offset = offset - zeta
        ctx.save_for_backward(acc, gamma, mean, rstd, scale, offset, eta)
        ctx.spec, ctx.from_batch = spec, from_batch
        if codes is not None:
            return codes
        _, y = _response(acc, scale, offset, eta)
        if not spec.quantised:
            return y
        return y.mul_(spec.top).add_(0.5).floor_().clamp_(0.0, spec.top)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        acc, gamma, mean, rstd, scale, offset, eta = ctx.saved_tensors
        spec: KbitSpec = ctx.spec
        z, y = _response(acc, scale, offset, eta)
        g = grads[0]
        if spec.quantised:
            g = torch.ops.aten.hardtanh_backward(g, y, 0.0, 1.0).mul_(spec.top)
        g_eta = None
        if eta is not None:
            g_eta = channel_sums(g)
            g = torch.ops.aten.silu_backward(g, z)
        g_beta = channel_sums(g)
        centred = acc - per_channel(mean, acc)
        g_gamma = channel_sums(centred * g) * rstd
        g_acc = None
        if ctx.needs_input_grad[0]:
            g_acc = g * per_channel(scale, acc)
            if ctx.from_batch:
                count = acc.numel() // acc.shape[1]
                g_acc.sub_(per_channel(scale * g_beta / count, acc))
                g_acc.addcmul_(centred, per_channel(scale * g_gamma * rstd / -count, acc))
        g_zeta = None if eta is None else -g_beta
        return g_acc, g_gamma, g_beta, g_zeta, g_eta, None, None, None, None, None


def kbit_activation(
    acc: Tensor,
    gamma: Tensor,
    beta: Tensor,
    zeta: Tensor | None,
    eta: Tensor | None,
    mean: Tensor,
    var: Tensor,
    spec: KbitSpec,
    from_batch: bool,
    codes: Tensor | None = None,
) -> Tensor:
    """Apply BN, RSiLU, clip to [0, 1] and the k-bit quantiser.

    Args:
        acc: (N, C, H, W) accumulators.
        gamma: (C,) BN scale.
        beta: (C,) BN bias.
        zeta: (C,) shift of RSiLU's input; None, with ``eta`` None, for no RSiLU.
        eta: (C,) shift of RSiLU's output.
        mean: (C,) statistics of ``acc``; differentiated through when ``from_batch``.
        var: (C,) biased variance of ``acc``.
        spec: constants of the layer.
        from_batch: True when mean and var were computed from this very ``acc``.
        codes: the result, where thresholds have decided it; None computes it here.

    Returns:
        (N, C, H, W) codes 0..L; for k = 32 the values before the clip. Gradients pass straight
        through the rounding inside (0, 1) and stop outside.
    """
    out: Tensor = _KbitActivation.apply(
        acc, gamma, beta, zeta, eta, mean, var, spec, from_batch, codes
    )
    return out


def look_up_levels(x: Tensor, thresholds: Tensor, sums: Tensor) -> Tensor:
    """Return levels of (N, C, H, W) integers by signed thresholds.

    Args:
        x: integers in a float container.
        thresholds: (C, n), ascending.
        sums: (C, n+1), the level where 0, 1, ... n thresholds are reached.
    """
    n, c, h, w = x.shape
    rows = x.permute(1, 0, 2, 3).reshape(c, -1).contiguous()
    reached = torch.searchsorted(thresholds.to(x.dtype), rows, right=True)
    return sums.to(x.dtype).gather(1, reached).view(c, n, h, w).permute(1, 0, 2, 3)
